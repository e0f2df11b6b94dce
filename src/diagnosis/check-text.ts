// Helps to word the results of checks: counts, durations, times, lists, and results of what could not be checked. Pure.
import type { CheckResult } from './check.ts';
import type { Gap } from './read-gaps.ts';

/** `1 pod`, `2 pods`. */
export function countOf(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

/** The text of doctor shows fewer, JSON and HTML all of them. */
const maxDetails = 100;

/** The first details, and the number of the others. */
export function limitDetails(details: readonly string[], total = details.length): string[] {
  const shown = details.slice(0, maxDetails);
  return total > shown.length ? [...shown, `and ${total - shown.length} more`] : shown;
}

/** The two largest units of a duration, such as `5h12m`. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [minutes, hours, days] = [
    Math.floor(seconds / 60),
    Math.floor(seconds / 3600),
    Math.floor(seconds / 86_400),
  ];
  if (days > 0) {
    return `${days}d${hours % 24}h`;
  }
  if (hours > 0) {
    return `${hours}h${minutes % 60}m`;
  }
  return minutes > 0 ? `${minutes}m` : `${seconds}s`;
}

/** What checks are about that have their subject in the summary if they are skipped, because the text does not show their names. */
const subjects: ReadonlyMap<string, string> = new Map([
  ['aws-connection', 'the connection to AWS'],
  ['aws-clock', 'the clock'],
  ['aws-credentials', 'the AWS credentials'],
  ['aws-caller-identity', 'the AWS identity of the program'],
  ['aws-rule-identities', 'the identities of rules'],
  ['aws-tokens', 'the tokens of ECR'],
  ['pod-found', 'the pod'],
  ['pod-injection', 'the decision of the webhook'],
  ['pod-reference', 'the reference'],
  ['pod-events', 'the Events of the pod'],
  ['pull-secret', 'the pull Secret'],
  ['pull-secret-content', 'the content of the Secret'],
  ['pull-token', 'the token'],
  ['image-registry', 'the registry'],
  ['image-manifest', 'the manifest of the image'],
  ['image-platform', 'the platform of the image'],
]);

/** A time in ISO 8601 without fractions of a second. @param ms since the epoch */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** The result of a check that cannot or need not be made. @param reason the end of a sentence after "because" */
export function skipCheck(check: string, reason: string, remedy?: string): CheckResult {
  const summary = `${subjects.get(check) ?? check}: not checked, because ${reason}`;
  return { check, outcome: 'skipped', summary, remedy };
}

/** The result of a check for which something could not be read. */
export function skipForGap(check: string, { why, request, isForbidden }: Gap): CheckResult {
  return {
    check,
    outcome: 'skipped',
    summary: `not checked, because ${why}`,
    remedy: isForbidden
      ? `Grant the right to ${request} in all namespaces, or run doctor with an account that has it`
      : undefined,
  };
}
