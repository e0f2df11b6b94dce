// The steps from an image to its pull, as doctor pod and doctor image report them. Pure.
import type { CheckResult } from './check.ts';
import { skipCheck } from './check-text.ts';
import type { Gap } from './read-gaps.ts';

/** Steps that belong together. */
export interface ChainPart {
  /** What they are about, such as `pod shop/cart` or an image. */
  readonly title: string;
  readonly checks: readonly CheckResult[];
}

/** Why a pod or an image is pulled, or is not. */
export interface Chain {
  readonly parts: readonly ChainPart[];
}

/**
 * What could not be read. A right that the caller lacks, or an interruption, says nothing about the image, so the step is skipped. If
 * the API server does not respond as expected, nothing was found out, and the step failed.
 */
export function describeGapStep(check: string, gap: Gap, remedy?: string): CheckResult {
  const skipped = skipCheck(check, gap.why, remedy);
  return gap.isForbidden || gap.isInterrupted === true
    ? skipped
    : {
        ...skipped,
        outcome: 'failed',
        meaning: 'It is not known whether the image can be pulled',
        remedy: 'Run the command again. If this repeats, run ecr-pull-secrets doctor --group api-server',
      };
}

/** Turns failures that an earlier step explains into skipped steps, so that only the cause counts. */
export function explainedBy(reason: string, results: readonly CheckResult[]): CheckResult[] {
  return results.map((result) =>
    result.outcome === 'failed' || result.outcome === 'warning' ? skipCheck(result.check, reason) : result,
  );
}

export function hasFailed(results: readonly CheckResult[]): boolean {
  return results.some(({ outcome }) => outcome === 'failed');
}
