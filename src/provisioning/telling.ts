import { escapeDeceptive, scrub, toPrintable } from '../telemetry/redact.ts';
import { progressText, removeHostsText, syncText, uninstallText } from './report.ts';
import type { RemoveHostsResult, SyncResult, UninstallResult } from './result.ts';

/** Where a command writes; `isTTY` where a person looks at it. */
export interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export type Format = 'text' | 'json';

/** Erases the line and starts it over (ECMA-48, EL). */
const again = '\r\u001b[2K';

/** Tells how far a sync is, on one line that is rewritten; to a file or a log nothing. */
export function progressOn(output: Output): (done: number, total: number, failed: number) => void {
  return (done, total, failed) => {
    if (output.isTTY === true) {
      output.write(done === total ? again : `${again}${progressText(done, total, failed)}`);
    }
  };
}

/** Tells the result. @returns the exit code: 1 if anything failed */
export function tellSync(result: SyncResult, format: Format, output: Output): number {
  output.write(format === 'json' ? jsonText(result) : toPrintable(syncText(result)));
  return result.failed > 0 ? 1 : 0;
}

/** Tells the result. @returns the exit code: 1 if anything failed */
export function tellUninstall(result: UninstallResult, format: Format, output: Output): number {
  output.write(format === 'json' ? jsonText(result) : toPrintable(uninstallText(result)));
  return result.failed > 0 ? 1 : 0;
}

/** Reports the result. @returns the exit code: 1 if a host stays that was to be removed */
export function tellRemoveHosts(result: RemoveHostsResult, format: Format, output: Output): number {
  output.write(format === 'json' ? jsonText(result) : toPrintable(removeHostsText(result)));
  return result.failed > 0 ? 1 : 0;
}

/** On one line, each string without credentials. */
function jsonText(result: SyncResult | UninstallResult | RemoveHostsResult): string {
  return `${JSON.stringify(result, (_key, value) => (typeof value === 'string' ? escapeDeceptive(scrub(value)) : value))}\n`;
}
