/** What one run measured. MB are a million bytes. */
export interface Figures {
  readonly namespaces: number;
  readonly hosts: number;
  readonly writes_per_second: number;
  /** Of the machine over the minute before: above the number of its cores, all times are those of a crowd. */
  readonly load_average: number;
  /** From the start of the process; its CPU time until then. */
  readonly in_sync_seconds: number;
  readonly in_sync_cpu_seconds: number;
  readonly rss_in_sync_mb: number;
  /** From the start of the process to the end of the renewal. */
  readonly rss_highest_mb: number;
  /** From the first Secret to the last. */
  readonly renewal_seconds: number;
  readonly renewal_cpu_ms_each: number;
  /** The longest time in which the event loop got to nothing else: until in sync, and after that. */
  readonly stall_start_ms: number;
  readonly stall_renewal_ms: number;
  /** As the program counts them. */
  readonly writes: number;
  readonly writes_failed: number;
  /** As the API server counts them. */
  readonly api_writes: number;
  readonly api_reads: number;
  readonly token_calls: number;
}

/** Prints the figures beside their goals, or as one JSON object. */
export function report(figures: Figures, json: boolean): void {
  const { namespaces, hosts, writes_per_second: pace } = figures;
  if (json) {
    process.stdout.write(`${JSON.stringify(figures)}\n`);
    return;
  }
  const slowest = Math.round((namespaces / pace) * 11) / 10;
  const row = (name: string, figure: number, digits: number, most?: number, goal = `at most ${most}`) => {
    const outcome = most === undefined ? '' : `${goal}${figure <= most ? '' : '  MISSED'}`;
    return `${name.padEnd(40)}${figure.toFixed(digits).padStart(10)}   ${outcome}`.trimEnd();
  };
  const lines = [
    `${namespaces} namespaces, ${hosts} ${hosts === 1 ? 'host' : 'hosts'} in each, one process, ${pace} writes a second; load of the machine before: ${figures.load_average.toFixed(1)}`,
    '',
    `${''.padEnd(50)}   goal`,
    row('start to in sync, s', figures.in_sync_seconds, 2, 2),
    row('  CPU, s', figures.in_sync_cpu_seconds, 2),
    row('  longest stall of the event loop, ms', figures.stall_start_ms, 0, 50),
    row('  RSS then, MB', figures.rss_in_sync_mb, 0, 170),
    row('renewal of all, s', figures.renewal_seconds, 1, slowest),
    row('  CPU for each Secret, ms', figures.renewal_cpu_ms_each, 2),
    row('  longest stall of the event loop, ms', figures.stall_renewal_ms, 0, 50),
    row('RSS, highest, MB', figures.rss_highest_mb, 0, 170),
    row('Secrets written, by our count', figures.writes, 0, namespaces, `${namespaces}`),
    row('  failed writes', figures.writes_failed, 0, 0, '0'),
    row('  writes, by the API server', figures.api_writes, 0, namespaces, `${namespaces}`),
    row('  reads, by the API server', figures.api_reads, 0),
    row('token calls', figures.token_calls, 0, 1, '1'),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}
