// Decides whether a Secret has hosts to forget: hosts that have waited too long for their first token, or are not configured any more.
import type { CachedSecret } from '../pull-secrets/secret-cache.ts';
import { hashFraction } from '../util/hash.ts';

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
 * The same for hosts that are no longer configured. It is shorter, because pulls fail with an expired token that may succeed
 * without one.
 */
const unconfiguredPropagationMs = 60_000;

/**
 * Whether a host has waited for its first token for longer than `forgetAfterMs`, or is no longer configured and its token has
 * expired. A host without a recorded request time (written by an older version) counts as the former. Unmanaged Secrets, and
 * Secrets that have to be repaired first, are skipped.
 */
export function isForgettable(
  namespace: string,
  { isManaged, isIntact, hosts, requestedAt, unconfigured }: CachedSecret,
  { forgetAfterMs, replica, now }: ForgetRules,
): boolean {
  if (!isManaged || !isIntact) {
    return false;
  }
  const share = hashFraction(`${replica}/${namespace}`);
  const dueBefore = now - forgetAfterMs - Math.min(replicaPropagationMs, forgetAfterMs) * share;
  const expiredBefore = now - unconfiguredPropagationMs * share;
  return (
    [...hosts].some(
      ([host, lifetime]) =>
        lifetime === undefined && (requestedAt.get(host) ?? Number.NEGATIVE_INFINITY) <= dueBefore,
    ) || [...(unconfigured?.values() ?? [])].some(({ expiresAt }) => expiresAt <= expiredBefore)
  );
}
