// Receives the bodies that are not small, and bounds what all of them hold together.
import type { IncomingMessage } from 'node:http';
import { Gathered } from './chunk-buffer.ts';

export interface IntakeLimits {
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
export class RefusedBodyError extends Error {
  override readonly name = 'RefusedBodyError';
  readonly code: 'body-too-large' | 'overloaded';
  readonly statusCode: 413 | 503;

  constructor(code: RefusedBodyError['code'], message: string) {
    super(message);
    this.code = code;
    this.statusCode = code === 'body-too-large' ? 413 : 503;
  }
}

interface Receiving {
  readonly since: number;
  readonly gathered: Gathered;
  /** Bytes that count against `maxBytesInFlight`. */
  counted: number;
  refuse(error: RefusedBodyError): void;
}

/** All bodies that are being received. One per server. */
export class BodyIntake {
  readonly #limits: IntakeLimits;
  readonly #now: () => number;
  /** In the order in which they began. */
  readonly #receiving = new Set<Receiving>();
  #inFlight = 0;
  /** Whole bodies. */
  readonly #queue: (() => void)[] = [];

  /** @param now monotonic clock, in ms */
  constructor(limits: IntakeLimits, now: () => number) {
    this.#limits = limits;
    this.#now = now;
  }

  /** Bytes that count against `maxBytesInFlight` now. */
  get bytesInFlight(): number {
    return this.#inFlight;
  }

  /**
   * Receives a body of whatever length, declared or not. Calls `done` at most once: with the body, whose bytes count until
   * `done` returns, or with a RefusedBodyError, after which nothing more is read. If the client goes away first, `done` is
   * not called. Bodies that come together are passed on one in each turn of the event loop, so that ordinary requests are
   * answered between them.
   */
  receive(
    request: IncomingMessage,
    done: (error: RefusedBodyError | undefined, body?: Buffer) => void,
  ): void {
    const { maxBodyBytes, smallBodyBytes } = this.#limits;
    if (Number(request.headers['content-length'] ?? 0) > maxBodyBytes) {
      done(tooLarge(maxBodyBytes));
      return;
    }
    const end = () => {
      request.off('data', onData).off('end', onEnd).off('close', end);
      this.#receiving.delete(receiving);
      this.#inFlight -= receiving.counted;
    };
    const receiving: Receiving = {
      since: this.#now(),
      gathered: new Gathered(smallBodyBytes),
      counted: 0,
      refuse: (error) => {
        end();
        done(error);
      },
    };
    const onData = (chunk: Buffer) => {
      receiving.gathered.add(chunk);
      if (receiving.gathered.length > maxBodyBytes) {
        receiving.refuse(tooLarge(maxBodyBytes));
      } else if (!this.#count(receiving)) {
        receiving.refuse(overloaded());
      }
    };
    const onEnd = () => {
      request.off('close', end); // which follows at once
      this.#receiving.delete(receiving); // it is whole, so it is not slow
      this.#enqueue(() => {
        if (!request.socket.destroyed) {
          done(undefined, receiving.gathered.take());
        }
        end();
      });
    };
    this.#receiving.add(receiving);
    request.on('data', onData).on('end', onEnd).on('close', end);
  }

  #enqueue(pass: () => void): void {
    if (this.#queue.push(pass) === 1) {
      setImmediate(() => this.#passNext());
    }
  }

  #passNext(): void {
    this.#queue[0]?.();
    this.#queue.shift();
    if (this.#queue.length > 0) {
      setImmediate(() => this.#passNext());
    }
  }

  /** Counts what a body holds by now. False: there is no room, and no slow body that could make some. */
  #count(receiving: Receiving): boolean {
    const { smallBodyBytes, maxBytesInFlight, slowBodyMs } = this.#limits;
    const counted = Math.max(0, receiving.gathered.allocated - smallBodyBytes);
    this.#inFlight += counted - receiving.counted;
    receiving.counted = counted;
    for (const other of this.#receiving) {
      if (this.#inFlight <= maxBytesInFlight || this.#now() - other.since < slowBodyMs) {
        break; // all that follow began later
      }
      if (other !== receiving && other.counted > 0) {
        other.refuse(overloaded());
      }
    }
    return this.#inFlight <= maxBytesInFlight;
  }
}

function tooLarge(maxBytes: number): RefusedBodyError {
  return new RefusedBodyError('body-too-large', `the body has more than ${maxBytes} bytes`);
}

function overloaded(): RefusedBodyError {
  return new RefusedBodyError('overloaded', 'too many large requests at once; try again');
}
