// Receives the bodies that are not small, and bounds what all of them hold together.
import type { IncomingMessage } from 'node:http';
import { ChunkBuffer } from './chunk-buffer.ts';

export interface BodyLimits {
  /** Of one body, in bytes. */
  readonly maxBodyBytes: number;
  /** Of each body, what is not counted against `maxBytesInFlight`. */
  readonly smallBodyBytes: number;
  /** Of all bodies that are being received, in bytes. */
  readonly maxBytesInFlight: number;
  /** How long a body may be incomplete before it makes room for others, in ms. */
  readonly slowBodyMs: number;
}

/** Why a body is not received. */
export class BodyRejectedError extends Error {
  override readonly name = 'RefusedBodyError';
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
  /** Bytes that count against `maxBytesInFlight`. */
  countedBytes: number;
  reject(error: BodyRejectedError): void;
}

/** All bodies that are being received. One per server. */
export class BodyReceiver {
  readonly #limits: BodyLimits;
  readonly #monotonicNow: () => number;
  /** In the order in which they began. */
  readonly #pending = new Set<PendingBody>();
  #bytesInFlight = 0;
  /** Whole bodies. */
  readonly #queue: (() => void)[] = [];

  /** @param now monotonic clock, in ms */
  constructor(limits: BodyLimits, now: () => number) {
    this.#limits = limits;
    this.#monotonicNow = now;
  }

  /** Bytes that count against `maxBytesInFlight` now. */
  get bytesInFlight(): number {
    return this.#bytesInFlight;
  }

  /**
   * Receives a body of whatever length, declared or not. Calls `done` at most once: with the body, whose bytes count until
   * `done` returns, or with a BodyRejectedError, after which nothing more is read. If the client goes away first, `done` is
   * not called. Bodies that come together are passed on one in each turn of the event loop, so that ordinary requests are
   * answered between them.
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
      request.off('close', cleanUp); // which follows at once
      this.#pending.delete(body); // it is whole, so it is not slow
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

  /** Counts what a body holds by now. False: there is no room, and no slow body that could make some. */
  #reserve(body: PendingBody): boolean {
    const { smallBodyBytes, maxBytesInFlight, slowBodyMs } = this.#limits;
    const countedBytes = Math.max(0, body.chunks.allocatedBytes - smallBodyBytes);
    this.#bytesInFlight += countedBytes - body.countedBytes;
    body.countedBytes = countedBytes;
    for (const other of this.#pending) {
      if (this.#bytesInFlight <= maxBytesInFlight || this.#monotonicNow() - other.startedAt < slowBodyMs) {
        break; // all that follow began later
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
  return new BodyRejectedError('overloaded', 'too many large requests at once; try again');
}
