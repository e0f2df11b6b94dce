import { type BackoffPolicy, waitMs } from '../backoff.ts';

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
 * How long to leave a region alone after the n-th failure in a row, see waitMs. At every n a permanent failure waits
 * longer than a transient one.
 * @param failures failures in a row, from 1
 * @param random gives a number in [0, 1)
 * @returns whole milliseconds
 */
export function backoffMs(failures: number, isPermanent: boolean, random: () => number): number {
  return Math.round(waitMs(isPermanent ? permanent : transient, failures, random()));
}
