// Prints progress and reports, as text or JSON, without credentials and control characters.
import { escapeDeceptive, scrub, toPrintable } from '../telemetry/redact.ts';
import { progressText } from './report-text.ts';
import type { Failure } from './results.ts';

export type OutputFormat = 'text' | 'json';

/** A stream that a command writes to. */
export interface TextOutput {
  /** Whether it is a terminal. */
  readonly isTTY?: boolean;
  /** False once its reader is gone. */
  readonly writable?: boolean;
  /** The size of the terminal. */
  readonly columns?: number;
  readonly rows?: number;
  write(text: string): unknown;
}

/** Erases the line and moves to its start (ECMA-48, EL). */
export const eraseLine = '\r\u001b[2K';

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

/** What the exit code of a report depends on. */
interface Report {
  /** Parts of the work that failed. */
  readonly failed: number;
  /** Failures that concern no single part. */
  readonly failures?: readonly Failure[];
}

/**
 * @param formatText formats the result for readers
 * @returns the exit code: 1 if anything failed
 */
export function printReport<T extends Report>(
  result: T,
  formatText: (result: T) => string,
  format: OutputFormat,
  output: TextOutput,
): number {
  output.write(format === 'json' ? jsonText(result) : toPrintable(formatText(result)));
  return result.failed + (result.failures?.length ?? 0) > 0 ? 1 : 0;
}

/** One line of JSON. */
export function jsonText(result: object): string {
  return `${JSON.stringify(result, (_key, value) => (typeof value === 'string' ? escapeDeceptive(scrub(value)) : value))}\n`;
}
