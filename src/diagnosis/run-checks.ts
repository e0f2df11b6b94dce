// Runs groups of checks at the same time, each within a deadline, and passes their results on in order.
import { setTimeout as wait } from 'node:timers/promises';
import { serializeError } from '../telemetry/log-fields.ts';
import { whenAborted } from '../util/timeout.ts';
import type { CheckGroup, CheckResult } from './check.ts';
import type { CheckGroupDefinition } from './check-groups.ts';
import type { Installation } from './installation.ts';

export interface RunOptions {
  /** How long each group may take, in ms. */
  readonly timeoutMs: number;
  /** Aborted if the user interrupts the run. */
  readonly signal: AbortSignal;
  /** Called with each group, in the order of the groups, as soon as it and all groups before it have ended. */
  onGroup(group: CheckGroup): void;
}

/** How long a group may take to return what it has found after its deadline, in ms. */
const graceMs = 500;

/** Runs all groups. Resolves when each group has ended, or had its deadline. */
export async function runChecks(
  groups: readonly CheckGroupDefinition[],
  installation: Installation,
  { timeoutMs, signal, onGroup }: RunOptions,
): Promise<void> {
  const running = groups.map((group) => runGroup(group, installation, timeoutMs, signal));
  for (const group of running) {
    onGroup(await group);
  }
}

async function runGroup(
  { name, run }: CheckGroupDefinition,
  installation: Installation,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<CheckGroup> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const unfinished = (): readonly CheckResult[] => [
    {
      check: 'group-unfinished',
      outcome: signal.aborted ? 'skipped' : 'failed',
      summary: signal.aborted
        ? 'not finished, because you interrupted it'
        : `not finished within ${timeoutMs / 1000} s`,
      remedy: signal.aborted ? undefined : 'Allow more time with --timeout',
    },
  ];
  const checks = await Promise.race([
    run(installation, deadline).catch((error: unknown) => describeBug(error)),
    whenOverdue(deadline).then(unfinished),
  ]);
  return { name, checks: checks.length === 0 ? unfinished() : checks };
}

/** Resolves some time after the signal is aborted. */
async function whenOverdue(signal: AbortSignal): Promise<void> {
  await whenAborted(signal);
  await wait(graceMs, undefined, { ref: false });
}

function describeBug(error: unknown): readonly CheckResult[] {
  const { message } = serializeError(error);
  return [
    {
      check: 'group-unfinished',
      outcome: 'failed',
      summary: `ended with an unexpected error: ${message}`,
      remedy: 'Report this error with the output of doctor --output json',
    },
  ];
}
