// The program's log.
import { type DestinationStream, type Logger, pino } from 'pino';
import { cleanArguments } from './log-fields.ts';
import { createStandardOutput, type LineOutput } from './log-output.ts';

/** No child loggers: pino serializes their bindings without asking any hook. */
export type Log = Pick<
  Logger,
  'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'level' | 'isLevelEnabled'
>;

/**
 * A JSON log, one object a line of at most 16 KiB. An error shows its name, code, message and, unless it is one of our
 * own kinds, its stack. Whatever is logged passes through {@link cleanArguments} before pino sees it, so a logging
 * method never throws and never shows a credential.
 * @param stream where lines go; must not throw
 */
export function createJsonLog(level: string, stream: DestinationStream): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: createIsoTimestamp(Date.now),
      formatters: { level: (label) => ({ level: label }) },
      // pino's own would take the cleaned error for one that it has to serialize
      serializers: { err: (cleaned: unknown) => cleaned },
      hooks: {
        logMethod(args, method) {
          const [fields, message] = cleanArguments(args);
          try {
            method.call(this, fields, message);
          } catch {
            method.call(this, {}, message ?? '[unreadable]'); // a getter that throws when it is read once more
          }
        },
      },
    },
    stream,
  );
}

/** A log on standard output, which also reports how many lines were dropped once lines can be written again. */
export function createStandardLog(level: string): { readonly log: Log; readonly output: LineOutput } {
  const output = createStandardOutput((lines) =>
    log.error({ lines }, 'dropped log lines because standard output could not be written to'),
  );
  const log = createJsonLog(level, output);
  return { log, output };
}

/** The time of a line, in UTC to the millisecond; made once for all lines of one. */
function createIsoTimestamp(now: () => number): () => string {
  let last = Number.NaN;
  let text = '';
  return () => {
    const ms = now();
    if (ms !== last) {
      last = ms;
      text = `,"time":"${new Date(ms).toISOString()}"`;
    }
    return text;
  };
}
