// Decides whether a Secret has hosts to forget: hosts that have waited too long for their first token.
import type { CachedSecret } from '../pull-secrets/secret-cache.ts';
import { hash32 } from '../util/hash.ts';

export interface ForgetRules {
  /** How long a host may wait for its first token, in ms. */
  readonly forgetAfterMs: number;
  /** Identifies this replica. */
  readonly replica: string;
  /** The wall clock in ms. */
  readonly now: number;
}

/** Replicas are spread over this time, in ms, so that the first one writes and the others find nothing left to do. */
const replicaPropagationMs = 300_000;

/**
 * Whether a host has waited for its first token for longer than `forgetAfterMs`. A host without a recorded request time (written
 * by an older version) counts as such. Unmanaged Secrets, and Secrets that have to be repaired first, are skipped.
 */
export function isForgettable(
  namespace: string,
  { isManaged, isIntact, hosts, requestedAt }: CachedSecret,
  { forgetAfterMs, replica, now }: ForgetRules,
): boolean {
  if (!isManaged || !isIntact) {
    return false;
  }
  const delayMs =
    Math.min(replicaPropagationMs, forgetAfterMs) * (hash32(`${replica}/${namespace}`) / 2 ** 32);
  const dueBefore = now - forgetAfterMs - delayMs;
  return [...hosts].some(
    ([host, lifetime]) =>
      lifetime === undefined && (requestedAt.get(host) ?? Number.NEGATIVE_INFINITY) <= dueBefore,
  );
}
