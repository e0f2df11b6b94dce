// Decides how to write to a terminal or a file: colours, and characters outside of ASCII.
import type { Outcome } from '../diagnosis/check.ts';
import type { TextOutput } from './print-report.ts';

export interface TerminalStyle {
  readonly hasColor: boolean;
  readonly isUnicode: boolean;
}

/**
 * Colours are for terminals, unless NO_COLOR (https://no-color.org) or FORCE_COLOR says otherwise. Only a terminal with UTF-8 gets
 * characters outside of ASCII.
 */
export function terminalStyle({ isTTY }: TextOutput, environment: NodeJS.ProcessEnv): TerminalStyle {
  const isTerminal = isTTY === true;
  const { NO_COLOR: never = '', FORCE_COLOR: force, TERM: term } = environment;
  const isForced = force !== undefined && force !== '0' && force !== 'false';
  const locale = environment['LC_ALL'] || environment['LC_CTYPE'] || environment['LANG'] || '';
  return {
    hasColor: isForced || (isTerminal && never === '' && force === undefined && term !== 'dumb'),
    isUnicode: isTerminal && /utf-?8/i.test(locale),
  };
}

/** Codes for {@link paint}. */
export const colors = { red: 31, green: 32, yellow: 33, grey: 90 } as const;

const marks: Readonly<Record<Outcome, { unicode: string; ascii: string; color: number }>> = {
  ok: { unicode: '√', ascii: '[ok]', color: colors.green },
  warning: { unicode: '‼', ascii: '[warning]', color: colors.yellow },
  failed: { unicode: '×', ascii: '[failed]', color: colors.red },
  skipped: { unicode: '–', ascii: '[skipped]', color: colors.grey },
};

/** The mark at the beginning of the line of a check. */
export function outcomeMark(outcome: Outcome, { hasColor, isUnicode }: TerminalStyle): string {
  const { unicode, ascii, color } = marks[outcome];
  return paint(isUnicode ? unicode : ascii, color, hasColor);
}

export function bold(text: string, { hasColor }: TerminalStyle): string {
  return paint(text, 1, hasColor);
}

/**
 * Colours a text that is printable already.
 * @param code of Select Graphic Rendition (ECMA-48)
 */
export function paint(text: string, code: number, hasColor: boolean): string {
  return hasColor ? `\u001b[${code}m${text}\u001b[0m` : text;
}
