import { type DestinationStream, destination, type Logger, pino } from 'pino';
import { scrub } from './scrub.ts';

export type Log = Logger;

/**
 * A JSON log, one object a line. An error shows its name, code, message and, unless it is one of our own kinds, its
 * stack; never its other properties, which for errors of the AWS SDK and of Kubernetes' client hold whole answers.
 * Every line is scrubbed once more as text.
 * @param stream where lines go; standard output, written behind the caller's back, if not given
 */
export function jsonLog(level: string, stream: DestinationStream = standardOutput()): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: isoTime(Date.now),
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: serializeError },
      hooks: { streamWrite: scrub },
    },
    stream,
  );
}

/** What may be said of an error: see jsonLog. */
export function serializeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) {
    return { message: scrub(String(error)) };
  }
  const code = 'code' in error ? String(error.code) : undefined;
  return {
    type: error.name,
    ...(code !== undefined && { code }),
    message: scrub(error.message),
    ...(code === undefined && { stack: scrub(error.stack ?? '') }),
  };
}

/** The time of a line, in UTC to the millisecond; made once for all lines of one. */
function isoTime(now: () => number): () => string {
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

/** Lines are written when they are so many characters together, or after so many ms. */
const gathered = { length: 16_384, ms: 100 };

/**
 * Lines are gathered: a write of its own for each costs more CPU than the rest of an admission. What is gathered is
 * written when the process exits, but for a SIGKILL. The stream could gather too, but measures all that it has for each
 * line that comes.
 */
function standardOutput(): DestinationStream {
  const output = destination({ dest: 1, sync: false });
  let lines = '';
  const passTo = (stream: DestinationStream) => {
    if (lines !== '') {
      stream.write(lines);
      lines = '';
    }
  };
  setInterval(() => passTo(output), gathered.ms).unref();
  // after the stream has written what it has; nothing can be written behind our back any more
  process.on('exit', () => passTo(destination({ dest: 1, sync: true })));
  return {
    write: (line) => {
      lines += line;
      if (lines.length >= gathered.length) {
        passTo(output);
      }
    },
  };
}
