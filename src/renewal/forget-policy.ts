// Decides whether a Secret may have hosts that are to be forgotten.
import type { KnownSecret } from '../pull-secrets/secret-cache.ts';
import { hash32 } from '../util/hash.ts';

export interface ForgetRules {
  /** How long a host may wait for its first token, in ms. */
  readonly forgetAfterMs: number;
  /** Tells this replica from the others. */
  readonly replica: string;
  /** The wall clock in ms. */
  readonly now: number;
}

/** Replicas are spread over this time, ms: the first one writes, and the others see that there is nothing left to do. */
const replicaPropagationMs = 300_000;

/**
 * Whether a host of a Secret has waited long enough for its first token, or the Secret, written by an older version, does
 * not say how long. A Secret that is not managed, or that is to be restored first, is skipped.
 */
export function isForgettable(
  namespace: string,
  { isManaged, isIntact, hosts, requestedAt }: KnownSecret,
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
