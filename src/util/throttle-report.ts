// Keeps what strangers cause from flooding the log.

/**
 * Wraps a report so that it is made at most once in `intervalMs`. The report gets the number of calls since the last one,
 * this one included.
 * @param monotonicNow monotonic clock, in ms
 */
export function throttleReport<T extends unknown[]>(
  intervalMs: number,
  monotonicNow: () => number,
  report: (times: number, ...details: T) => void,
): (...details: T) => void {
  let nextAt = Number.NEGATIVE_INFINITY;
  let times = 0;
  return (...details) => {
    times += 1;
    if (monotonicNow() >= nextAt) {
      nextAt = monotonicNow() + intervalMs;
      report(times, ...details);
      times = 0;
    }
  };
}
