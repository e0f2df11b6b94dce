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

/** The time of a line, in UTC to the millisecond; the part down to the second is made once a second. */
function isoTime(now: () => number): () => string {
  let second = Number.NaN;
  let text = '';
  return () => {
    const ms = now();
    if (Math.floor(ms / 1000) !== second) {
      second = Math.floor(ms / 1000);
      text = `,"time":"${new Date(ms).toISOString().slice(0, -4)}`;
    }
    return `${text}${String(ms % 1000).padStart(3, '0')}Z"`;
  };
}

/**
 * Lines are gathered for up to 100 ms: a write of its own for each costs more CPU than the rest of an admission. What is
 * gathered is written when the process exits, but for a SIGKILL. The pieces are small because the stream measures the
 * whole of the last one for each line that comes.
 */
function standardOutput(): DestinationStream {
  return destination({ dest: 1, sync: false, minLength: 4_096, maxWrite: 8_192, periodicFlush: 100 });
}
