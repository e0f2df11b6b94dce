const FIRST_MS = 200;
const MAX_MS = 10_000;

/**
 * How long to wait after the n-th failure in a row: doubling from 200 ms, at most 10 s, and jittered over its
 * upper half so that replicas that lost the same API server do not come back in step.
 *
 * @param failures failures in a row, from 1
 * @param random a number in [0, 1)
 * @returns milliseconds
 */
export function backoffMs(failures: number, random: number): number {
  const full = Math.min(MAX_MS, FIRST_MS * 2 ** Math.min(failures - 1, 16));
  return full / 2 + (full / 2) * random;
}
