// Runs the checks of a group at the same time, and turns what prevents a check into a result.
import { KubeError } from '../kube/errors.ts';
import { serializeError } from '../telemetry/log-fields.ts';
import { whenAborted } from '../util/timeout.ts';
import type { CheckResult } from './check.ts';
import type { Viewpoint } from './installation.ts';

/** One or several checks that are made together. */
export interface PendingCheck {
  /** The check to report if it cannot be made. */
  readonly check: string;
  /** May reject with KubeError, which becomes a skipped result. */
  run(): Promise<CheckResult | readonly CheckResult[]>;
}

/** Runs checks, and returns their results in order. A check that has not ended when the signal is aborted is skipped. */
export async function settleChecks(
  pending: readonly PendingCheck[],
  viewpoint: Viewpoint,
  signal: AbortSignal,
): Promise<CheckResult[]> {
  const aborted = whenAborted(signal);
  const results = pending.map(async ({ check, run }): Promise<readonly CheckResult[]> => {
    const unfinished = (): CheckResult => ({
      check,
      outcome: 'skipped',
      summary: isInterrupted(signal)
        ? 'not finished, because you interrupted it'
        : 'not finished in the given time',
    });
    try {
      return [await Promise.race([run(), aborted.then(unfinished)])].flat();
    } catch (error) {
      return [signal.aborted ? unfinished() : describeObstacle(check, error, viewpoint)];
    }
  });
  return (await Promise.all(results)).flat();
}

/** Whether the user ended the checks, and not their deadline, which aborts with a TimeoutError. */
function isInterrupted({ reason }: AbortSignal): boolean {
  return reason instanceof Error && reason.name === 'AbortError';
}

/** The result of a check that failed for another reason than what it checks. */
function describeObstacle(check: string, error: unknown, viewpoint: Viewpoint): CheckResult {
  if (!(error instanceof KubeError)) {
    const { message } = serializeError(error);
    return {
      check,
      outcome: 'failed',
      summary: `this check ended with an unexpected error: ${message}`,
      remedy: 'Report this error with the output of doctor --output json',
    };
  }
  return error.code === 'forbidden'
    ? { check, outcome: 'skipped', summary: describeMissingRight(error.operation, viewpoint) }
    : {
        check,
        outcome: 'skipped',
        summary: `not checked, because the API server did not respond as expected (${error.operation}: ${error.code})`,
      };
}

/** @param operation for example `list pods` */
function describeMissingRight(operation: string, viewpoint: Viewpoint): string {
  return `not checked, because ${viewpoint === 'outside' ? 'you' : 'the program'} may not ${operation}`;
}
