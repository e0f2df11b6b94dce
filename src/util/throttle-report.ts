// Keeps clients from flooding the log.

/**
 * Wraps a function that reports something, so that it runs at most once in `intervalMs`. It receives the number of calls
 * since its last run, including the current one.
 * @param monotonicNow monotonic clock, in ms
 */
export function throttleReport<T extends unknown[]>(
  intervalMs: number,
  monotonicNow: () => number,
  report: (count: number, ...details: T) => void,
): (...details: T) => void {
  let nextAt = Number.NEGATIVE_INFINITY;
  let count = 0;
  return (...details) => {
    count += 1;
    if (monotonicNow() >= nextAt) {
      nextAt = monotonicNow() + intervalMs;
      report(count, ...details);
      count = 0;
    }
  };
}
