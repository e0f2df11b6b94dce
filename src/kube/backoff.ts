import { type BackoffPolicy, waitMs } from '../backoff.ts';

const POLICY: BackoffPolicy = { firstMs: 200, mostMs: 10_000 };

/**
 * How long to wait after the n-th failure in a row of the API server: from 200 ms up to 10 s, see {@link waitMs}.
 *
 * @param failures failures in a row, from 1
 * @param random a number in [0, 1)
 * @returns milliseconds
 */
export function backoffMs(failures: number, random: number): number {
  return waitMs(POLICY, failures, random);
}
