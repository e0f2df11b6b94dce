// Writes lines to standard output without ever blocking, throwing, or holding more than a bounded number of bytes.
import { writeSync } from 'node:fs';

/** Lines are written when this many characters have come together, or after `gatherMs`: a write each costs too much. */
const batchLength = 16_384;
const batchDelayMs = 100;

/** How soon a full pipe is tried again, in ms. */
const fullPipeRetryMs = 5;

/** Maximum bytes that wait while standard output cannot be written: some 6,000 lines. */
const maxWaitingBytes = 1024 * 1024;

/** How long the end of the process waits for a reader that takes nothing, and for one that is slow, in ms. */
const maxExitStallMs = 1_000;
const maxExitMs = 5_000;

export interface LineOutput {
  /** Takes a line, with its line feed. Never throws. */
  write(line: string): void;
  /** How many lines were dropped so far. */
  droppedLines(): number;
}

export interface LineWriterOptions {
  /** Writes some of the bytes and returns how many; throws an error with a `code` where it cannot. Must not block. */
  readonly write: (bytes: Uint8Array) => number;
  /** Lines are dropped while this many bytes wait, up to one batch of `gatherLength` more or less. */
  readonly maxWaitingBytes: number;
  /** Called with the number of lines dropped since the last call, once all that waited is written. */
  readonly onRecovery: (lines: number) => void;
}

/** What became of the lines that waited: all written, or the code of the error. */
type FlushResult = 'all' | string;

/**
 * Gathers lines and writes them in batches. What cannot be written waits, whatever the error: a full pipe, a full disk
 * and a reader that is gone may all pass. Lines that find no more room are dropped whole, and counted.
 */
export class LineWriter implements LineOutput {
  readonly #options: LineWriterOptions;
  #buffer = '';
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #reported = 0;
  /** How many characters come together before they are written; none once the process exits. */
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

  /** Writes as much as standard output takes now. */
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

  /** A batch that was written in part goes on where it stopped, so that no line is torn. */
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
   * Writes what is there before the process ends. Waits for a slow reader, but neither for ever nor for a disk to get
   * room: Kubernetes would have to kill the process.
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
 * Lines to standard output, written behind the caller's back and when the process exits, but for a SIGKILL.
 *
 * pino's own destination (sonic-boom) is not used: it writes to a full pipe from a thread of the pool, and a thread that
 * is stuck there keeps the process from exiting; after an error other than EAGAIN its `flushSync` tries for ever, and
 * after EPIPE it goes silent.
 * @param onRecovery called with the number of lines dropped since the last call, once lines can be written again
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
 * Node makes a pipe or socket non-blocking when it makes its stream, which is when the stream is first asked for; a write
 * to a full one then fails with EAGAIN at once. Errors of what other code writes to the stream must not end the process.
 */
function preventBlocking(stream: NodeJS.WriteStream): void {
  stream.on('error', () => undefined);
}

function getErrorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? `${error.code}` : 'unknown';
}
