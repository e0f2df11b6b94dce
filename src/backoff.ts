/** Waits after failures, in ms. */
export interface BackoffPolicy {
  readonly firstMs: number;
  readonly mostMs: number;
}

/**
 * How long to wait after the n-th failure in a row: doubling up to a cap, and jittered over its upper half, so that
 * replicas that failed together do not come back in step and none comes back at once.
 * @param failures failures in a row, from 1
 * @param random a number in [0, 1)
 * @returns ms
 */
export function waitMs({ firstMs, mostMs }: BackoffPolicy, failures: number, random: number): number {
  const full = Math.min(mostMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return full / 2 + (full / 2) * random;
}

const namespace: BackoffPolicy = { firstMs: 1_000, mostMs: 300_000 };

/**
 * How long to leave a namespace alone after the n-th failure in a row in it: from 1 s up to 5 min, as waitMs. For ever:
 * quotas and policies are changed, API servers come back.
 */
export function retryMs(failures: number, random: number): number {
  return waitMs(namespace, failures, random);
}

const refusedWrite: BackoffPolicy = { firstMs: 1_000, mostMs: 45_000 };

/**
 * How long to wait after the n-th consecutive failed write of a namespace's Secret, in ms: from 1 s up to 45 s, so that a
 * cure is noticed within a minute. As {@link waitMs} otherwise.
 */
export function writeRetryMs(failures: number, random: number): number {
  return waitMs(refusedWrite, failures, random);
}
