// The result of the hot path benchmark and its goals, as text and as a Markdown table.
import { formatMarkdownTable } from '../test/support/markdown-table.ts';
import type { BucketCount } from './latency-histogram.ts';

interface Ratios {
  readonly rps_ratio: number;
  readonly p99_ratio: number;
  readonly cpu_ratio: number;
}

/** Ratios are the webhook's figure divided by the bare server's. Each figure is the median of the launches. */
export interface HotPathResult extends Ratios {
  readonly rps: number;
  readonly rps_bare: number;
  readonly p50_us: number;
  readonly p50_us_bare: number;
  readonly p99_us: number;
  readonly p99_us_bare: number;
  /** CPU time per request. */
  readonly cpu_us: number;
  readonly cpu_us_bare: number;
  readonly review_bytes: number;
  readonly connections: number;
  /** Of each launch. */
  readonly rounds: number;
  readonly launches: readonly Ratios[];
  readonly latency_bucket_us: number;
  /** Requests of all launches. */
  readonly latency_counts: readonly BucketCount[];
  readonly latency_counts_bare: readonly BucketCount[];
}

interface Row {
  readonly name: string;
  readonly figure: number;
  readonly bare: number;
  readonly ratio: keyof Ratios;
  readonly goal: string;
}

function rowsOf(result: HotPathResult): Row[] {
  return [
    {
      name: 'requests per second',
      figure: result.rps,
      bare: result.rps_bare,
      ratio: 'rps_ratio',
      goal: '≥ 0.85',
    },
    {
      name: 'p99 latency, µs',
      figure: result.p99_us,
      bare: result.p99_us_bare,
      ratio: 'p99_ratio',
      goal: '≤ 1.5',
    },
    {
      name: 'CPU per request, µs',
      figure: result.cpu_us,
      bare: result.cpu_us_bare,
      ratio: 'cpu_ratio',
      goal: '≤ 1.2',
    },
  ];
}

/** Formats the figures for a terminal. */
export function formatHotPathReport(result: HotPathResult): string {
  const line = (name: string, ...cells: (string | number)[]) =>
    [name.padEnd(22), ...cells.map((cell) => String(cell).padStart(10))].join('');
  return [
    `hot path, a review of ${result.review_bytes} bytes, ${result.connections} open TLS connections, ` +
      `median of ${result.launches.length} launches of ${result.rounds} rounds`,
    '',
    line('', 'webhook', 'bare', 'ratio', 'goal', '  launches'),
    ...rowsOf(result).map(({ name, figure, bare, ratio, goal }) =>
      line(name, figure, bare, result[ratio], goal, `  ${launchesOf(result, ratio).join(' ')}`),
    ),
  ].join('\n');
}

/** Formats the figures for docs/performance.md. */
export function hotPathTable(result: HotPathResult): string {
  const head = ['', 'webhook', 'bare server', 'ratio', 'ratio of each launch', 'goal'];
  const rows = rowsOf(result).map(({ name, figure, bare, ratio, goal }) => [
    name,
    figure.toLocaleString('en'),
    bare.toLocaleString('en'),
    result[ratio].toFixed(2),
    launchesOf(result, ratio)
      .map((value) => value.toFixed(2))
      .join(', '),
    goal,
  ]);
  return formatMarkdownTable([head, ...rows]);
}

function launchesOf({ launches }: HotPathResult, ratio: keyof Ratios): number[] {
  return launches.map((launch) => launch[ratio]);
}
