// Writes lines to standard output without ever blocking, throwing, or holding more than a bounded number of bytes.
import { writeSync } from 'node:fs';

/** Lines are written in batches of this many characters, or after `batchDelayMs`, because a write per line costs too much. */
const batchLength = 16_384;
const batchDelayMs = 100;

/** Delay before a write to a full pipe is retried, in ms. */
const fullPipeRetryMs = 5;

/** Maximum bytes that are buffered while standard output cannot be written to, about 6,000 lines. */
const maxWaitingBytes = 1024 * 1024;

/** How long the process waits at exit for a reader that reads nothing, and for a slow one, in ms. */
const maxExitStallMs = 1_000;
const maxExitMs = 5_000;

export interface LineOutput {
  /** Writes a line, which ends with a line feed. Never throws. */
  write(line: string): void;
  /** Returns how many lines have been dropped. */
  droppedLines(): number;
}

/** @internal exported for its tests */
export interface LineWriterOptions {
  /** Writes some of the bytes and returns how many. Throws an error with a `code` if it cannot. Must not block. */
  readonly write: (bytes: Uint8Array) => number;
  /** Lines are dropped while this many bytes are buffered, give or take one batch. */
  readonly maxWaitingBytes: number;
  /** Called with the number of lines dropped since the last call, when the buffer is empty again. */
  readonly onRecovery: (lines: number) => void;
}

/** `all` if the buffer was written, otherwise the code of the error. */
type FlushResult = 'all' | string;

/**
 * Collects lines and writes them in batches. Batches that cannot be written are kept after every error, because a full pipe,
 * a full disk and a missing reader may all be temporary. Lines that do not fit into the buffer are dropped and counted.
 * @internal exported for its tests
 */
export class LineWriter implements LineOutput {
  readonly #options: LineWriterOptions;
  #buffer = '';
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #reported = 0;
  /** Characters in a batch; 0 when the process exits, so that each line is written at once. */
  #batchLength = batchLength;

  constructor(options: LineWriterOptions) {
    this.#options = options;
  }

  droppedLines(): number {
    return this.#dropped;
  }

  write(line: string): void {
    if (this.#waitingBytes > 0 && this.#isFull(line)) {
      this.#dropped += 1;
      return;
    }
    this.#buffer += line;
    if (this.#buffer.length >= this.#batchLength) {
      this.flush();
    }
  }

  /** Writes as much as standard output accepts now. */
  flush(): FlushResult {
    if (this.#buffer !== '') {
      const bytes = Buffer.from(this.#buffer);
      this.#buffer = '';
      this.#waiting.push(bytes);
      this.#waitingBytes += bytes.length;
    }
    const flushed = this.#writeWaiting();
    if (flushed === 'all' && this.#dropped > this.#reported) {
      const lines = this.#dropped - this.#reported;
      this.#reported = this.#dropped;
      this.#options.onRecovery(lines);
    }
    return flushed;
  }

  #isFull(line: string): boolean {
    return this.#waitingBytes + this.#buffer.length + line.length > this.#options.maxWaitingBytes;
  }

  /** Continues a batch that was written in part, so that lines stay whole. */
  #writeWaiting(): FlushResult {
    for (let batch = this.#waiting[0]; batch !== undefined; batch = this.#waiting[0]) {
      let written: number;
      try {
        written = this.#options.write(batch);
      } catch (error) {
        return getErrorCode(error);
      }
      this.#waitingBytes -= written;
      if (written === batch.length) {
        this.#waiting.shift();
      } else {
        this.#waiting[0] = batch.subarray(written);
      }
    }
    return 'all';
  }

  /**
   * Writes the buffer before the process exits. Waits for a slow reader, but only for a limited time and not for a full disk,
   * because Kubernetes would have to kill the process.
   */
  flushAtExit(): void {
    this.#batchLength = 0;
    const startedAt = performance.now();
    let progress = startedAt;
    let before = this.#waitingBytes;
    while (this.flush() === 'EAGAIN') {
      const now = performance.now();
      if (this.#waitingBytes !== before) {
        before = this.#waitingBytes;
        progress = now;
      }
      if (now - progress > maxExitStallMs || now - startedAt > maxExitMs) {
        return;
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, fullPipeRetryMs);
    }
  }
}

/**
 * Creates the output for log lines on standard output. Lines are written in the background, and when the process exits
 * unless it gets a SIGKILL.
 *
 * It replaces pino's destination (sonic-boom), which writes to a full pipe from a thread of the pool: a thread that is stuck
 * there prevents the process from exiting. After an error other than EAGAIN its `flushSync` retries without end, and after
 * EPIPE it stops writing.
 * @param onRecovery called with the number of lines dropped since the last call, when lines can be written again
 */
export function createStandardOutput(onRecovery: (lines: number) => void): LineOutput {
  preventBlocking(process.stdout);
  const writer = new LineWriter({
    write: (bytes) => writeSync(process.stdout.fd, bytes),
    maxWaitingBytes,
    onRecovery,
  });
  const flush = () => {
    const delayMs = writer.flush() === 'EAGAIN' ? fullPipeRetryMs : batchDelayMs;
    setTimeout(flush, delayMs).unref();
  };
  setTimeout(flush, batchDelayMs).unref();
  process.on('exit', () => writer.flushAtExit());
  return writer;
}

/**
 * Node makes a pipe or socket non-blocking when it creates its stream, which is at the first access to the stream. A write to
 * a full pipe then fails with EAGAIN at once. The handler keeps errors of other writers from ending the process.
 */
function preventBlocking(stream: NodeJS.WriteStream): void {
  stream.on('error', () => undefined);
}

function getErrorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? `${error.code}` : 'unknown';
}
