// What doctor reports in every format.
import type { CheckGroup, CheckResult, Outcome } from '../diagnosis/check.ts';
import type { ReportTimeline } from '../diagnosis/report-timeline.ts';
import { documentationUrl } from '../labels.ts';
import type { InterruptSignal } from './interrupt.ts';

export interface DoctorReport {
  /** The version of this program. */
  readonly version: string;
  /** When the report was made, in ISO 8601. */
  readonly time: string;
  /** From where the installation was examined; undefined if it was not found. */
  readonly viewpoint: 'inside' | 'outside' | undefined;
  /** The address of the API server. */
  readonly apiServer: string | undefined;
  /** The namespace of the installation. */
  readonly namespace: string | undefined;
  readonly groups: readonly CheckGroup[];
  readonly timeline: ReportTimeline;
  /** The signal that interrupted the command. */
  readonly interrupted?: InterruptSignal | undefined;
}

function countOutcomes(groups: readonly CheckGroup[]): Readonly<Record<Outcome, number>> {
  const counts = { ok: 0, warning: 0, failed: 0, skipped: 0 };
  for (const { outcome } of groups.flatMap(({ checks }) => checks)) {
    counts[outcome] += 1;
  }
  return counts;
}

/** Which exit code the results lead to. */
export function exitCodeOf(groups: readonly CheckGroup[]): 0 | 1 {
  return countOutcomes(groups).failed > 0 ? 1 : 0;
}

/** For example `3 ok, 1 warning, 1 failed, 2 skipped`. */
export function countsText(groups: readonly CheckGroup[]): string {
  const { ok, warning, failed, skipped } = countOutcomes(groups);
  return `${ok} ok, ${warning} ${warning === 1 ? 'warning' : 'warnings'}, ${failed} failed, ${skipped} skipped`;
}

/** The first failed check, which names the cause of the others. */
export function findFirstFailure(groups: readonly CheckGroup[]): CheckResult | undefined {
  return groups.flatMap(({ checks }) => checks).find(({ outcome }) => outcome === 'failed');
}

/** The address of the page about a result. */
export function pageUrl({ page }: CheckResult): string | undefined {
  return page === undefined ? undefined : `${documentationUrl}/${page}`;
}
