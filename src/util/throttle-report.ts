// Keeps what strangers cause from flooding the log.

/**
 * Wraps a report so that it is made at most once in `intervalMs`. The report gets the number of calls since the last one,
 * this one included.
 * @param now monotonic clock, in ms
 */
export function occasionally<T extends unknown[]>(
  intervalMs: number,
  now: () => number,
  report: (times: number, ...details: T) => void,
): (...details: T) => void {
  let next = Number.NEGATIVE_INFINITY;
  let times = 0;
  return (...details) => {
    times += 1;
    if (now() >= next) {
      next = now() + intervalMs;
      report(times, ...details);
      times = 0;
    }
  };
}
