// The goals of each attack, and the table of the measured figures.
import type { Finding } from './hostile-attack.ts';
import { dueNamespaces, type Measurements } from './hostile-tenants.ts';

/** The figures of one attack. */
export interface Row {
  readonly name: string;
  /** Why the process exited; undefined if it survived. */
  readonly death: string | undefined;
  readonly stallMs: number;
  readonly peakBytes: number;
  /** Effects on other tenants, before the attack and during it. */
  readonly before: Measurements;
  readonly during: Measurements;
  readonly findings: readonly Finding[];
}

const goals = {
  stallMs: 250,
  ratio: 1.5,
  /** A latency below this never misses the goal, in ms. The API server's own goal is 1 s for a request. */
  negligibleMs: 100,
  /** Differences below this never miss the goal, in seconds, because renewal checks the clock once per second. */
  negligibleSeconds: 2,
};

/** Returns the figures of a row that miss their goal. */
export function missedGoals(row: Row, limitBytes: number): string[] {
  const { before, during } = row;
  const latencyMissed =
    during.p99Ms > goals.negligibleMs && during.p99Ms > goals.ratio * Math.max(before.p99Ms, 1);
  const renewalMissed =
    during.renewed < dueNamespaces ||
    (during.renewalSeconds > before.renewalSeconds + goals.negligibleSeconds &&
      during.renewalSeconds > goals.ratio * before.renewalSeconds);
  const checks: [boolean, string][] = [
    [row.death !== undefined, 'survival'],
    [row.stallMs > goals.stallMs, 'stall'],
    [row.peakBytes > limitBytes, 'memory'],
    [latencyMissed || during.failed > 0, 'admission'],
    [renewalMissed, 'renewal'],
    ...row.findings.map(({ met, note }): [boolean, string] => [met === false, note]),
  ];
  return checks.filter(([isMissed]) => isMissed).map(([, figure]) => figure);
}

/** Formats the figures as a Markdown table. */
export function table(rows: readonly Row[], limitBytes: number): string {
  const head = [
    'attack',
    'survived',
    'longest stall, ms',
    'peak memory, MiB',
    'admission p99 of others, ms',
    'renewal of others, s',
    'notes',
    'missed goals',
  ];
  const lines = rows.map((row) => [
    row.name,
    row.death ?? 'yes',
    Math.round(row.stallMs),
    Math.round(row.peakBytes / 1024 / 1024),
    admission(row),
    renewal(row),
    row.findings.map(({ note }) => note).join('; '),
    missedGoals(row, limitBytes).join(', ') || 'none',
  ]);
  return [head, head.map(() => '---'), ...lines].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** Describes the goals. */
export function goalsText(limitBytes: number): string {
  return (
    `Goals: survived; stall at most ${goals.stallMs} ms; below ${limitBytes / 1024 / 1024} MiB; for the other tenants ` +
    `no failed review, p99 at most ${goals.ratio} times the one before the attack or ${goals.negligibleMs} ms, ` +
    `and all ${dueNamespaces} due Secrets renewed within ${goals.ratio} times the time before the attack ` +
    `or ${goals.negligibleSeconds} s more.`
  );
}

function admission({ before, during }: Row): string {
  const failed = during.failed === 0 ? '' : `, ${during.failed} failed`;
  return `${during.p99Ms.toFixed(1)} (${ratio(during.p99Ms, before.p99Ms)} of ${before.p99Ms.toFixed(1)}${failed})`;
}

function renewal({ before, during }: Row): string {
  const { renewed, renewalSeconds } = during;
  return renewed === dueNamespaces
    ? `${renewalSeconds.toFixed(1)} (${ratio(renewalSeconds, before.renewalSeconds)} of ${before.renewalSeconds.toFixed(1)})`
    : `${renewed} of ${dueNamespaces} after ${renewalSeconds.toFixed(0)} s`;
}

function ratio(value: number, base: number): string {
  return `${(value / base).toFixed(2)} times`;
}
