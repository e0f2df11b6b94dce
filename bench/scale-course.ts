// The course of a renewal over time, from the program's log.

/** One second of the renewal. Lifetimes are those that tokens have left over all namespaces, in hours. */
type RenewalSecond = readonly [
  second: number,
  writes: number,
  shortest: number,
  median: number,
  longest: number,
];

export interface RenewalCourse {
  /** Starts with the first write. */
  readonly seconds: readonly RenewalSecond[];
}

type LogLine = Readonly<Record<string, unknown>>;

const hourMs = 3_600_000;

export function isRenewal({ msg }: LogLine): boolean {
  return msg === 'pull Secret renewed';
}

/** Returns the time of a log line in ms since the epoch, or NaN. */
export function timeOf(line: LogLine | undefined): number {
  return Date.parse(String(line?.['time']));
}

/**
 * Returns the writes and the remaining lifetimes of each second.
 * @param before when the tokens of each namespace expired before the renewal, in ms since the epoch
 * @param after the same after the renewal
 */
export function describeRenewal(
  log: readonly LogLine[],
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): RenewalCourse {
  const renewals = log.filter(isRenewal);
  const startedAt = timeOf(renewals[0]);
  const bySecond = Map.groupBy(renewals, (line) => Math.floor((timeOf(line) - startedAt) / 1000));
  const expirations = new Map(before);
  const seconds = Array.from({ length: Math.max(0, ...bySecond.keys()) + 2 }, (_, second): RenewalSecond => {
    const now = startedAt + second * 1000;
    const left = [...expirations.values()]
      .map((expiresAt) => (expiresAt - now) / hourMs)
      .sort((a, b) => a - b);
    const written = bySecond.get(second) ?? [];
    for (const { namespace } of written) {
      const expiresAt = after.get(String(namespace));
      if (expiresAt !== undefined) {
        expirations.set(String(namespace), expiresAt);
      }
    }
    const hours = (position: number) => Number((left.at(position) ?? Number.NaN).toFixed(2));
    return [second, written.length, hours(0), hours(Math.floor(left.length / 2)), hours(-1)];
  });
  return { seconds };
}
