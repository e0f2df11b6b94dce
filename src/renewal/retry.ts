const firstMs = 1_000;
const mostMs = 300_000;

/**
 * How long to leave a namespace alone after the n-th failure in a row: doubling from 1 s up to 5 min, jittered over its
 * upper half. For ever: quotas and policies are changed, API servers come back.
 * @param failures failures in a row, from 1
 * @param random a number in [0, 1)
 * @returns ms
 */
export function retryMs(failures: number, random: number): number {
  const full = Math.min(mostMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return full / 2 + (full / 2) * random;
}
