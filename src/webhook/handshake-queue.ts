// Starts a few TLS handshakes at a time, so that many simultaneous connections do not stall the process.
import type { Socket } from 'node:net';

export interface HandshakeLimits {
  /** Maximum number of handshakes that start in one turn of the event loop. */
  readonly maxStartsPerTick: number;
  /** Maximum number of handshakes in progress. */
  readonly maxInProgress: number;
  /** How long a handshake may take while one of another client is waiting, in ms. */
  readonly maxWaitMs: number;
  /**
   * The same while only handshakes of the same client are waiting. It is longer: if this process or the API server gets little
   * CPU time, its own next handshake would be no faster.
   */
  readonly maxWaitSameClientMs: number;
}

interface PendingHandshake {
  readonly socket: Socket;
  start(): void;
}

/**
 * A queue of connections that wait for their handshake, round-robin by client address, so that a client that opens many mainly
 * delays its own. None is refused, because an API server opens one connection for each pod that is created at the same moment.
 */
export class HandshakeQueue {
  readonly #limits: HandshakeLimits;
  /** Address → its connections, oldest first; the address whose turn is next comes first. */
  readonly #waiting = new Map<string, PendingHandshake[]>();
  /** Start time of each handshake in progress: monotonic clock, in ms. */
  readonly #inProgress = new Map<Socket, number>();
  #immediate: NodeJS.Immediate | undefined;
  /** Fires when a handshake in progress has taken too long. */
  #timer: NodeJS.Timeout | undefined;

  constructor(limits: HandshakeLimits) {
    this.#limits = limits;
  }

  /** @param start starts the handshake; nothing has been read from the socket */
  add(socket: Socket, start: () => void): void {
    const address = socket.remoteAddress ?? '';
    this.#waiting.set(address, [...(this.#waiting.get(address) ?? []), { socket, start }]);
    socket.once('close', () => this.done(socket));
    this.#schedule();
  }

  /** To be called when the handshake is complete or the connection is closed. */
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
    const delayMs = this.#isFull() ? (this.#findSlowest()?.remainingMs ?? 0) : 0;
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
      if (this.#isFull()) {
        const slowest = this.#findSlowest();
        if (slowest === undefined || slowest.remainingMs > 0) {
          return;
        }
        this.#inProgress.delete(slowest.socket);
        slowest.socket.destroy();
      }
      this.#startNext();
    }
  }

  #isFull(): boolean {
    return this.#inProgress.size >= this.#limits.maxInProgress;
  }

  /** The handshake in progress whose time ends first if the next one starts, and how much of it remains, in ms. */
  #findSlowest(): { socket: Socket; remainingMs: number } | undefined {
    const { maxWaitMs, maxWaitSameClientMs } = this.#limits;
    const [nextAddress] = this.#waiting.keys();
    const now = performance.now();
    let slowest: { socket: Socket; remainingMs: number } | undefined;
    for (const [socket, startedAt] of this.#inProgress) {
      const limitMs = socket.remoteAddress === nextAddress ? maxWaitSameClientMs : maxWaitMs;
      const remainingMs = startedAt + limitMs - now;
      if (slowest === undefined || remainingMs < slowest.remainingMs) {
        slowest = { socket, remainingMs };
      }
    }
    return slowest;
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
