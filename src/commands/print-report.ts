// Prints progress and reports, as text or JSON, without credentials and control characters.
import { escapeDeceptive, scrub, toPrintable } from '../telemetry/redact.ts';
import { progressText, removeHostsText, syncText, uninstallText } from './report-text.ts';
import type { RemoveHostsResult, SyncResult, UninstallResult } from './results.ts';

export type OutputFormat = 'text' | 'json';

/** A stream that a command writes to. */
export interface TextOutput {
  /** Whether it is a terminal. */
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Erases the line and moves to its start (ECMA-48, EL). */
const eraseLine = '\r\u001b[2K';

/** Shows the progress of a sync on one line of a terminal that is rewritten; writes nothing to a file. */
export function progressOn(output: TextOutput): (done: number, total: number, failed: number) => void {
  return (done, total, failed) => {
    if (output.isTTY === true) {
      output.write(done === total ? eraseLine : `${eraseLine}${progressText(done, total, failed)}`);
    }
  };
}

/** Confirms the first signal on a terminal. */
export function printInterrupted(output: TextOutput): void {
  if (output.isTTY === true) {
    output.write(`${eraseLine}finishing calls in flight; interrupt again to stop at once\n`);
  }
}

/** @returns the exit code: 1 if anything failed, or a name or pattern selects no namespace */
export function printSync(result: SyncResult, format: OutputFormat, output: TextOutput): number {
  output.write(format === 'json' ? jsonText(result) : toPrintable(syncText(result)));
  return result.failed + (result.failures?.length ?? 0) > 0 ? 1 : 0;
}

/** @returns the exit code: 1 if anything failed */
export function printUninstall(result: UninstallResult, format: OutputFormat, output: TextOutput): number {
  output.write(format === 'json' ? jsonText(result) : toPrintable(uninstallText(result)));
  return result.failed > 0 ? 1 : 0;
}

/** @returns the exit code: 1 if a host stays that was to be removed */
export function printRemoveHosts(
  result: RemoveHostsResult,
  format: OutputFormat,
  output: TextOutput,
): number {
  output.write(format === 'json' ? jsonText(result) : toPrintable(removeHostsText(result)));
  return result.failed > 0 ? 1 : 0;
}

/** One line of JSON. */
function jsonText(result: SyncResult | UninstallResult | RemoveHostsResult): string {
  return `${JSON.stringify(result, (_key, value) => (typeof value === 'string' ? escapeDeceptive(scrub(value)) : value))}\n`;
}
