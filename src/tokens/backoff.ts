/** Waits after failures, in ms. */
interface BackoffPolicy {
  readonly firstMs: number;
  readonly mostMs: number;
}

/**
 * A hiccup passes in seconds, so the first wait is short; a throttle or an outage is served by two minutes, which
 * makes one call per region and replica far fewer than the 20 a second that ECR allows.
 */
const transient: BackoffPolicy = { firstMs: 1_000, mostMs: 120_000 };

/**
 * Somebody has to change a policy or a key: seconds are of no use, but whoever did it should not wait longer than a
 * coffee. IAM itself takes some seconds to be consistent, hence the first wait.
 */
const permanent: BackoffPolicy = { firstMs: 15_000, mostMs: 300_000 };

/**
 * How long to leave a region alone after the n-th failure in a row: doubling up to a cap, and jittered over its upper
 * half, so that replicas that failed together do not come back in step and none comes back at once. At every n a
 * permanent failure waits longer than a transient one.
 * @param failures failures in a row, from 1
 * @param random gives a number in [0, 1)
 * @returns whole milliseconds
 */
export function backoffMs(failures: number, isPermanent: boolean, random: () => number): number {
  const { firstMs, mostMs } = isPermanent ? permanent : transient;
  const full = Math.min(mostMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(full / 2 + (full / 2) * random());
}
