// Formats the results of doctor as text, one group at a time.
import type { CheckGroup, CheckResult } from '../diagnosis/check.ts';
import { toPrintableLine } from '../telemetry/redact.ts';
import { countsText, findFirstFailure, pageUrl } from './doctor-report.ts';
import { bold, outcomeMark, type TerminalStyle } from './terminal-style.ts';

/** Details that the text shows of one check; JSON and HTML have all of them. */
const maxDetails = 10;

/** A heading, which can contain an image that a user typed, and results below it. */
interface NamedChecks {
  readonly name: string;
  readonly checks: readonly CheckResult[];
}

/** The heading of a group, and a line for each check. */
export function groupText({ name, checks }: NamedChecks, style: TerminalStyle): string {
  const title = toPrintableLine(name);
  const heading = `${bold(title, style)}\n${'-'.repeat(title.length)}\n`;
  return `${heading}${mergeSkipped(checks)
    .map((check) => checkText(check, style))
    .join('')}\n`;
}

/** One line for all checks that are skipped for the same reason. It names them, unless the summary of a single one does. */
function mergeSkipped(checks: readonly CheckResult[]): readonly CheckResult[] {
  const bySummary = Map.groupBy(
    checks.filter(({ outcome }) => outcome === 'skipped'),
    ({ summary }) => summary,
  );
  return checks.flatMap((result) => {
    const same = result.outcome === 'skipped' ? (bySummary.get(result.summary) ?? []) : [];
    if (same.length < 2 && !result.summary.startsWith(unnamed)) {
      return [result];
    }
    const names = same.map(({ check }) => check).join(', ');
    return result === same[0] ? [{ ...result, summary: `${names}: ${result.summary}` }] : [];
  });
}

/** How the summary of a skipped check begins that does not say what is checked. */
const unnamed = 'not checked';

/** The line of a check, and for a result that is not ok what follows from it and what to do. */
function checkText(result: CheckResult, style: TerminalStyle): string {
  const { outcome, summary, meaning, remedy, details = [] } = result;
  const url = pageUrl(result);
  const notes = outcome === 'ok' ? [] : [meaning, remedy, url === undefined ? undefined : `see ${url}`];
  const more = details.length > maxDetails ? [`and ${details.length - maxDetails} more`] : [];
  const lines = [...details.slice(0, maxDetails).map((detail) => `- ${detail}`), ...more, ...notes];
  return [
    `${outcomeMark(outcome, style)} ${toPrintableLine(summary)}\n`,
    ...lines.filter((line) => line !== undefined).map((line) => `    ${toPrintableLine(line)}\n`),
  ].join('');
}

/** The last lines: how many checks had which outcome, and what to begin with. */
export function summaryText(groups: readonly CheckGroup[], interrupted: string | undefined): string {
  const first = findFirstFailure(groups);
  return [
    `${countsText(groups)}\n`,
    first === undefined ? '' : `first failed check: ${first.check}: ${toPrintableLine(first.summary)}\n`,
    interrupted === undefined ? '' : `interrupted by ${interrupted}; the checks are not complete\n`,
  ].join('');
}
