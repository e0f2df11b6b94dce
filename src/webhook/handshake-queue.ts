// Starts TLS handshakes a few at a time, so that many clients that connect at once do not stall the process.
import type { Socket } from 'node:net';

export interface HandshakeLimits {
  /** Handshakes that start in one turn of the event loop. */
  readonly maxStartsPerTick: number;
  /** Handshakes in progress. Others wait. */
  readonly maxInProgress: number;
  /** How long a handshake may take while others wait, in ms. */
  readonly maxWaitMs: number;
}

interface PendingHandshake {
  readonly socket: Socket;
  start(): void;
}

/**
 * A queue of connections that wait for their handshake, in turn by client address: a client that opens many delays its own
 * more than those of others. None is refused, since an API server opens one for each pod that is created at the same moment.
 */
export class HandshakeQueue {
  readonly #limits: HandshakeLimits;
  /** Address → its connections, oldest first; the address whose turn is next comes first. */
  readonly #waiting = new Map<string, PendingHandshake[]>();
  /** When each handshake in progress started, by a monotonic clock in ms, oldest first. */
  readonly #inProgress = new Map<Socket, number>();
  #immediate: NodeJS.Immediate | undefined;
  /** Waits for the oldest handshake to run out of patience. */
  #timer: NodeJS.Timeout | undefined;

  constructor(limits: HandshakeLimits) {
    this.#limits = limits;
  }

  /** @param start begins the handshake on the socket, of which nothing has been read */
  add(socket: Socket, start: () => void): void {
    const address = socket.remoteAddress ?? '';
    this.#waiting.set(address, [...(this.#waiting.get(address) ?? []), { socket, start }]);
    socket.once('close', () => this.done(socket));
    this.#schedule();
  }

  /** The handshake is complete, or the connection closed. */
  done(socket: Socket): void {
    if (this.#inProgress.delete(socket)) {
      this.#schedule();
    }
  }

  #schedule(): void {
    if (this.#immediate !== undefined || this.#waiting.size === 0) {
      return;
    }
    clearTimeout(this.#timer);
    const delayMs = this.#isFull() ? this.#oldestTimeoutInMs() : 0;
    if (delayMs > 0) {
      this.#timer = setTimeout(() => this.#schedule(), delayMs).unref();
      return;
    }
    this.#immediate = setImmediate(() => {
      this.#immediate = undefined;
      this.#startSome();
      this.#schedule();
    });
  }

  #startSome(): void {
    for (let started = 0; started < this.#limits.maxStartsPerTick && this.#waiting.size > 0; started += 1) {
      const [oldest] = this.#inProgress.keys();
      if (this.#isFull() && oldest !== undefined) {
        if (this.#oldestTimeoutInMs() > 0) {
          return;
        }
        this.#inProgress.delete(oldest);
        oldest.destroy();
      }
      this.#startNext();
    }
  }

  #isFull(): boolean {
    return this.#inProgress.size >= this.#limits.maxInProgress;
  }

  #oldestTimeoutInMs(): number {
    const [startedAt = 0] = this.#inProgress.values();
    return startedAt + this.#limits.maxWaitMs - performance.now();
  }

  #startNext(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      return;
    }
    const [address, [first, ...others]] = next;
    this.#waiting.delete(address);
    if (others.length > 0) {
      this.#waiting.set(address, others);
    }
    if (first !== undefined && !first.socket.destroyed) {
      this.#inProgress.set(first.socket, performance.now());
      first.start();
    }
  }
}
