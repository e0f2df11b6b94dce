import { setTimeout as sleep } from 'node:timers/promises';
import { backoffMs } from '../kube/backoff.ts';
import { KubeError } from '../kube/errors.ts';
import type { SecretObject } from '../kube/secrets.ts';
import type { Log } from '../telemetry/log.ts';
import { hostsAnnotation } from './annotation.ts';
import { type Content, type MergeRules, mergeContent, readContent, type Wanted } from './content.ts';
import { dockerConfigKey, hasOurLabel, holds, isIntact, secretType, written } from './ours.ts';
import { ForeignSecretError } from './shortfall.ts';
import type { SecretStore } from './store.ts';
import type { SecretView } from './view.ts';

export interface WriteParts {
  readonly store: SecretStore;
  readonly view: SecretView;
  readonly rules: MergeRules;
  readonly log: Log;
  /** Counts a write by its outcome: created, updated, or the code of the failure. */
  counted(outcome: string): void;
}

/** More tries than replicas can lose in a row, and some seconds of an API server that stumbles. */
const mostTries = 8;

const worthAnotherTry: ReadonlySet<string> = new Set([
  'conflict',
  'network',
  'timeout',
  'server-error',
  'too-many-requests',
]);

/**
 * Makes a namespace's Secret hold what is wanted besides what it holds: reads it, merges, and writes only where that
 * changes anything. Where another replica was faster, starts over from what that one left: the union wins.
 * @returns the hosts that found no room
 * @throws ForeignSecretError, or KubeError when the API server refuses or keeps failing
 */
export async function writeUnion(
  namespace: string,
  wanted: Wanted,
  parts: WriteParts,
): Promise<readonly string[]> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await tryUnion(namespace, wanted, parts);
    } catch (error) {
      parts.counted(
        error instanceof KubeError || error instanceof ForeignSecretError ? error.code : 'internal-error',
      );
      if (!(error instanceof KubeError) || !worthAnotherTry.has(error.code) || tries === mostTries) {
        throw error;
      }
      await sleep(backoffMs(tries, Math.random()));
    }
  }
}

async function tryUnion(namespace: string, wanted: Wanted, parts: WriteParts): Promise<readonly string[]> {
  const { store, view, rules } = parts;
  const existing = await store.read(namespace);
  if (existing !== undefined && !isOurs(existing)) {
    view.learn(existing, false);
    throw new ForeignSecretError(namespace, existing.metadata.name);
  }
  const present = existing === undefined ? lostContent(view, namespace) : contentOf(existing, parts.log);
  const { content, refused } = mergeContent(present, wanted, rules);
  const next = written(content);
  // what somebody else wrote is written once more, though equal, so that it is ours again
  if (existing !== undefined && isIntact(existing.owners ?? []) && holds(existing, next)) {
    view.learn(existing, true);
    return refused;
  }
  const stored =
    existing === undefined ? await store.create(namespace, next) : await store.update(existing, next);
  parts.counted(existing === undefined ? 'created' : 'updated');
  view.learn(stored, true);
  return refused;
}

/** Whether a Secret of our name is one of ours, by type and label. */
export function isOurs({ type, metadata }: SecretObject): boolean {
  return type === secretType && hasOurLabel(metadata.labels);
}

/** The hosts of a Secret that somebody deleted wait for their tokens in the one that takes its place. */
function lostContent(view: SecretView, namespace: string): Content {
  const lost = view.lost().get(namespace)?.hosts ?? new Map();
  return { hosts: new Map([...lost.keys()].map((host) => [host, undefined])), auths: new Map() };
}

function contentOf({ metadata, data }: SecretObject, log: Log) {
  const encoded = data?.[dockerConfigKey];
  const json = encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString();
  const { content, malformed } = readContent(json, metadata.annotations?.[hostsAnnotation]);
  for (const { place, text } of malformed) {
    const secret = `${metadata.namespace}/${metadata.name}`;
    log.warn({ secret, place }, `Secret ${secret}: ${place} ${text}; it is left out`);
  }
  return content;
}
