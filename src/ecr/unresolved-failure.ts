// Describes a host for which no identity is known, as a failure.
import { causes } from './error-catalog.ts';
import type { UnresolvedIdentity } from './identity.ts';

/** What prevents tokens from being fetched, and what the operator can do about it. */
export interface UnresolvedFailure {
  readonly code: string;
  /** It lasts until a user changes the rule, the namespace or the ServiceAccount. */
  readonly permanent: boolean;
  readonly message: string;
}

export function describeUnresolved({ code, message }: UnresolvedIdentity): UnresolvedFailure {
  const cause = causes.get(code);
  const advice = cause === undefined ? '' : ` ${cause.advice}.`;
  return { code, permanent: cause?.permanent === true, message: `${message}.${advice}` };
}
