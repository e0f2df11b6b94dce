// Runs doctor in this process, and returns its report.
import assert from 'node:assert/strict';
import type { DoctorReport } from '../../src/commands/doctor-report.ts';
import type { CheckResult } from '../../src/diagnosis/check.ts';
import { FakeSignals, runCommand } from '../commands/run-command.ts';

export interface DoctorRun {
  readonly code: number;
  readonly report: DoctorReport;
  /** All results, by the name of their check. */
  readonly checks: ReadonlyMap<string, CheckResult>;
  /** The first failed check with its summary, or `none`. */
  readonly firstFailure: string;
}

/** @param args without `--output` */
export async function runDoctor(args: readonly string[], signals = new FakeSignals()): Promise<DoctorRun> {
  const { code, stdout, stderr } = await runCommand(['doctor', ...args, '--output', 'json'], { signals });
  assert.equal(stderr, '');
  const report: DoctorReport = JSON.parse(stdout);
  const results = report.groups.flatMap(({ checks }) => checks);
  const first = results.find(({ outcome }) => outcome === 'failed');
  return {
    ...{ code, report },
    checks: new Map(results.map((result) => [result.check, result])),
    firstFailure: first === undefined ? 'none' : `${first.check}: ${first.summary}`,
  };
}
