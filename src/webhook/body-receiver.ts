// Receives large request bodies, and bounds the memory that all of them use together.
import type { IncomingMessage } from 'node:http';
import { ChunkBuffer } from './chunk-buffer.ts';

export interface BodyLimits {
  /** Maximum size of one body, in bytes. */
  readonly maxBodyBytes: number;
  /** The part of each body that does not count towards `maxBytesInFlight`, in bytes. */
  readonly smallBodyBytes: number;
  /** Maximum for all bodies that are being received, in bytes. */
  readonly maxBytesInFlight: number;
  /** After this time, an incomplete body may be rejected to make room for others, in ms. */
  readonly slowBodyMs: number;
}

/** The webhook does not receive a body. */
export class BodyRejectedError extends Error {
  override readonly name = 'BodyRejectedError';
  readonly code: 'body-too-large' | 'overloaded';
  readonly statusCode: 413 | 503;

  constructor(code: BodyRejectedError['code'], message: string) {
    super(message);
    this.code = code;
    this.statusCode = code === 'body-too-large' ? 413 : 503;
  }
}

interface PendingBody {
  readonly startedAt: number;
  readonly chunks: ChunkBuffer;
  /** Bytes that count towards `maxBytesInFlight`. */
  countedBytes: number;
  reject(error: BodyRejectedError): void;
}

/** Receives bodies. One per server. */
export class BodyReceiver {
  readonly #limits: BodyLimits;
  readonly #monotonicNow: () => number;
  /** Incomplete bodies, oldest first. */
  readonly #pending = new Set<PendingBody>();
  #bytesInFlight = 0;
  /** Deliveries of complete bodies. */
  readonly #queue: (() => void)[] = [];

  /** @param monotonicNow monotonic clock, in ms */
  constructor(limits: BodyLimits, monotonicNow: () => number) {
    this.#limits = limits;
    this.#monotonicNow = monotonicNow;
  }

  /** Current number of bytes that count towards `maxBytesInFlight`. */
  get bytesInFlight(): number {
    return this.#bytesInFlight;
  }

  /**
   * Receives a body of any length, declared or not. Calls `done` at most once: with the body, whose bytes count until `done`
   * returns, or with a BodyRejectedError, after which nothing more is read. Does not call `done` if the client disconnects
   * first. Delivers one body per turn of the event loop, so that small requests are handled between large ones.
   */
  receive(
    request: IncomingMessage,
    done: (error: BodyRejectedError | undefined, body?: Buffer) => void,
  ): void {
    const { maxBodyBytes, smallBodyBytes } = this.#limits;
    if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) {
      done(createTooLargeError(maxBodyBytes));
      return;
    }
    const cleanUp = () => {
      request.off('data', onData).off('end', onEnd).off('close', cleanUp);
      this.#pending.delete(body);
      this.#bytesInFlight -= body.countedBytes;
    };
    const body: PendingBody = {
      startedAt: this.#monotonicNow(),
      chunks: new ChunkBuffer(smallBodyBytes),
      countedBytes: 0,
      reject: (error) => {
        cleanUp();
        done(error);
      },
    };
    const onData = (chunk: Buffer) => {
      body.chunks.add(chunk);
      if (body.chunks.length > maxBodyBytes) {
        body.reject(createTooLargeError(maxBodyBytes));
      } else if (!this.#reserve(body)) {
        body.reject(createOverloadedError());
      }
    };
    const onEnd = () => {
      request.off('close', cleanUp); // 'close' follows 'end' at once
      this.#pending.delete(body); // a complete body cannot be slow
      this.#enqueue(() => {
        if (!request.socket.destroyed) {
          done(undefined, body.chunks.take());
        }
        cleanUp();
      });
    };
    this.#pending.add(body);
    request.on('data', onData).on('end', onEnd).on('close', cleanUp);
  }

  #enqueue(deliver: () => void): void {
    if (this.#queue.push(deliver) === 1) {
      setImmediate(() => this.#deliverNext());
    }
  }

  #deliverNext(): void {
    this.#queue[0]?.();
    this.#queue.shift();
    if (this.#queue.length > 0) {
      setImmediate(() => this.#deliverNext());
    }
  }

  /**
   * Counts the current size of a body. Rejects slow bodies to make room for it.
   * @returns false if there is not enough room
   */
  #reserve(body: PendingBody): boolean {
    const { smallBodyBytes, maxBytesInFlight, slowBodyMs } = this.#limits;
    const countedBytes = Math.max(0, body.chunks.allocatedBytes - smallBodyBytes);
    this.#bytesInFlight += countedBytes - body.countedBytes;
    body.countedBytes = countedBytes;
    for (const other of this.#pending) {
      if (this.#bytesInFlight <= maxBytesInFlight || this.#monotonicNow() - other.startedAt < slowBodyMs) {
        break; // the remaining ones are newer
      }
      if (other !== body && other.countedBytes > 0) {
        other.reject(createOverloadedError());
      }
    }
    return this.#bytesInFlight <= maxBytesInFlight;
  }
}

function createTooLargeError(maxBytes: number): BodyRejectedError {
  return new BodyRejectedError('body-too-large', `the body has more than ${maxBytes} bytes`);
}

function createOverloadedError(): BodyRejectedError {
  return new BodyRejectedError('overloaded', 'too many large requests in flight; retry later');
}
