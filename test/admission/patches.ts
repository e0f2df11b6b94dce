import type { Operation } from 'fast-json-patch';
import type { Patch } from '../../src/webhook/patch.ts';

/** The operations of a patch as an answer carries it; none where there is no patch. */
export function operationsOf(patch: Patch | undefined): Operation[] {
  return patch === undefined ? [] : JSON.parse(atob(patch));
}
