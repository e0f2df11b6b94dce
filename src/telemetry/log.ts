// The program's log.
import { type DestinationStream, type Logger, pino } from 'pino';
import { cleanArguments } from './log-fields.ts';
import { createStandardOutput, type LineOutput } from './log-output.ts';

/** Without child loggers, because pino serializes their bindings without calling a hook. */
export type Log = Pick<
  Logger,
  'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'level' | 'isLevelEnabled'
>;

/**
 * Creates a JSON log with one object per line of at most 16 KiB. An error shows its name, code and message, and its stack if
 * it has no code. All arguments pass through {@link cleanArguments} before pino gets them, so that a logging method never
 * throws and never shows a credential.
 * @param stream receives the lines; must not throw
 */
export function createJsonLog(level: string, stream: DestinationStream): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: createIsoTimestamp(Date.now),
      formatters: { level: (label) => ({ level: label }) },
      // pino's serializer would serialize the cleaned error again
      serializers: { err: (cleaned: unknown) => cleaned },
      hooks: {
        logMethod(args, method) {
          const [fields, message] = cleanArguments(args);
          try {
            method.call(this, fields, message);
          } catch {
            method.call(this, {}, message ?? '[unreadable]'); // a getter that throws when it is read a second time
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

/** Creates the function that formats the time of a line, in UTC with milliseconds. Formats each millisecond once. */
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
