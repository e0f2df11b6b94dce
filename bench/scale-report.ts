// The figures of the scale benchmark and their goals, as text and as a Markdown table.
import { formatMarkdownTable } from '../test/support/markdown-table.ts';
import type { RenewalCourse } from './scale-course.ts';

/** The figures of one run. MB are 1,000,000 bytes. */
export interface ScaleFigures {
  readonly namespaces: number;
  readonly hosts: number;
  /** Whether all namespaces share the program's AWS identity, or each has a role of its own. */
  readonly identities: 'one' | 'namespace';
  readonly writes_per_second: number;
  /** Of the machine, over the minute before. If it is above the number of cores, the times are not meaningful. */
  readonly load_average: number;
  /** From the start of the process, and its CPU time until then. */
  readonly in_sync_seconds: number;
  readonly in_sync_cpu_seconds: number;
  readonly rss_in_sync_mb: number;
  /** From the start of the process to the end of the renewal. */
  readonly rss_highest_mb: number;
  /** From the first Secret to the last. */
  readonly renewal_seconds: number;
  readonly renewal_cpu_ms_each: number;
  /** The longest stall of the event loop until in sync, and after that. */
  readonly stall_start_ms: number;
  readonly stall_renewal_ms: number;
  /** Counted by the program. */
  readonly writes: number;
  readonly writes_failed: number;
  /** Counted by the API server. */
  readonly api_writes: number;
  readonly api_reads: number;
  readonly token_calls: number;
}

/** The figures, and how the renewal went on over time. */
export type ScaleResult = ScaleFigures & RenewalCourse;

interface Row {
  readonly name: string;
  readonly figure: number;
  readonly digits: number;
  readonly max?: number;
  /** Defaults to `≤ max`. */
  readonly goal?: string;
}

function rowsOf(figures: ScaleFigures): Row[] {
  const { namespaces, identities, writes_per_second } = figures;
  const maxRenewalSeconds = Math.round((namespaces / writes_per_second) * 11) / 10;
  const exactly = (max: number) => ({ digits: 0, max, goal: max.toLocaleString('en') });
  return [
    { name: 'start to in sync, s', figure: figures.in_sync_seconds, digits: 2, max: 2 },
    { name: '  CPU, s', figure: figures.in_sync_cpu_seconds, digits: 2 },
    { name: '  longest stall of the event loop, ms', figure: figures.stall_start_ms, digits: 0, max: 50 },
    { name: '  RSS, MB', figure: figures.rss_in_sync_mb, digits: 0, max: 170 },
    { name: 'renewal of all Secrets, s', figure: figures.renewal_seconds, digits: 1, max: maxRenewalSeconds },
    { name: '  CPU per Secret, ms', figure: figures.renewal_cpu_ms_each, digits: 2 },
    { name: '  longest stall of the event loop, ms', figure: figures.stall_renewal_ms, digits: 0, max: 50 },
    { name: 'max RSS, MB', figure: figures.rss_highest_mb, digits: 0, max: 170 },
    { name: 'Secrets written', figure: figures.writes, ...exactly(namespaces) },
    { name: '  failed writes', figure: figures.writes_failed, ...exactly(0) },
    { name: '  writes counted by the API server', figure: figures.api_writes, ...exactly(namespaces) },
    { name: '  reads counted by the API server', figure: figures.api_reads, digits: 0 },
    { name: 'token calls', figure: figures.token_calls, ...exactly(identities === 'one' ? 1 : namespaces) },
  ];
}

/** Formats the figures for a terminal, with their goals. */
export function formatScaleReport(figures: ScaleFigures): string {
  const { namespaces, hosts, identities, writes_per_second, load_average } = figures;
  const rows = rowsOf(figures).map((row) => {
    const missed = row.max !== undefined && !(row.figure <= row.max) ? '  MISSED' : '';
    return `${row.name.padEnd(40)}${row.figure.toFixed(row.digits).padStart(10)}   ${goalOf(row)}${missed}`.trimEnd();
  });
  return [
    `${namespaces} namespaces, ${hosts} ${hosts === 1 ? 'host' : 'hosts'} in each, ` +
      `${identities === 'one' ? 'one AWS identity' : 'an AWS identity for each'}, one process, at most ` +
      `${writes_per_second} writes per second; load average of the machine before: ${load_average.toFixed(1)}`,
    '',
    `${''.padEnd(50)}   goal`,
    ...rows,
  ].join('\n');
}

/** Formats the figures for docs/performance.md. */
export function scaleTable(figures: ScaleFigures): string {
  const rows = rowsOf(figures).map((row) => {
    const figure = row.figure.toLocaleString('en', {
      minimumFractionDigits: row.digits,
      maximumFractionDigits: row.digits,
    });
    return [row.name.replace(/^ +/, '&nbsp;&nbsp;'), figure, goalOf(row)];
  });
  const load = ['load average of the machine before', figures.load_average.toFixed(1), ''];
  return formatMarkdownTable([['', 'measured', 'goal'], ...rows, load]);
}

function goalOf({ max, goal = max === undefined ? '' : `≤ ${max}` }: Row): string {
  return goal;
}
