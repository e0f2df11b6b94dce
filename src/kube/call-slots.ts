// Limits concurrent calls, fairly by key, with separate slots for slow keys.
import { LRUCache } from 'lru-cache';

/** Options of {@link CallSlots}. Times are in ms. */
export interface CallSlotsOptions {
  /** Maximum number of calls in flight that are not slow. */
  readonly quick: number;
  /** Maximum number of slow calls in flight. */
  readonly slow: number;
  /** Maximum number of calls in flight per key. */
  readonly perKey: number;
  /** A call in flight for this long counts as slow, and so do the next calls of its key. */
  readonly slowAfterMs: number;
  /** How long the calls of a key count as slow, unless one of them is quick. */
  readonly slowForMs: number;
  /** How long a call may wait for a slot. */
  readonly maxWaitMs: number;
  /** Maximum number of waiting calls, in total and per key. */
  readonly maxWaiting: number;
  readonly maxWaitingPerKey: number;
}

/** How many calls hold a slot, and how many wait for one. */
export interface CallSlotsState {
  readonly inFlight: number;
  /** How many of those in flight are slow. */
  readonly slow: number;
  readonly waiting: number;
  /** How many calls got no slot since the start. */
  readonly overloaded: number;
}

/** No slot became free in time, or too many calls are waiting. */
export class OverloadedError extends Error {
  override readonly name = 'OverloadedError';
}

/** The slots were closed while a call waited. The code has the form of a system error code. */
class SlotsClosedError extends Error {
  override readonly name = 'SlotsClosedError';
  readonly code = 'ERR_CLOSED';
}

/** Releases a slot. A second call has no effect. */
export type ReleaseSlot = () => void;

interface Waiter {
  start(release: ReleaseSlot): void;
  fail(error: unknown): void;
}

interface Call {
  usesSlowSlot: boolean;
}

/** Maximum number of keys remembered as slow. The least recently used ones beyond it count as quick. */
const maxSlowKeys = 10_000;

/**
 * Limits the calls in flight. Keys are served round-robin, and no key has more than `perKey` calls in flight. Calls of keys
 * that are known to be slow use separate `slow` slots, and a call that turns out to be slow moves to one of them when one is
 * free. So slow keys, however many, leave the `quick` slots to the other keys.
 *
 * src/util/fair-queue.ts is a different queue: its jobs are shared by several namespaces, serialized by key, and never
 * cancelled.
 */
export class CallSlots {
  readonly #options: CallSlotsOptions;
  /** Key → its waiting calls, oldest first. The key to serve next comes first. */
  readonly #waiting = new Map<string, Set<Waiter>>();
  readonly #inFlightOf = new Map<string, number>();
  readonly #slowKeys: LRUCache<string, true>;
  /** Slow calls that still use a quick slot, because all slow slots are in use. */
  readonly #slowInQuickSlots = new Set<Call>();
  #quick = 0;
  #slow = 0;
  #waitingCount = 0;
  #overloaded = 0;
  #idleCallbacks: (() => void)[] = [];

  constructor(options: CallSlotsOptions) {
    this.#options = options;
    this.#slowKeys = new LRUCache({ max: maxSlowKeys, ttl: options.slowForMs });
  }

  get state(): CallSlotsState {
    return {
      inFlight: this.#quick + this.#slow,
      slow: this.#slow + this.#slowInQuickSlots.size,
      waiting: this.#waitingCount,
      overloaded: this.#overloaded,
    };
  }

  /** Resolves when no call is in flight or waiting. */
  async waitUntilIdle(): Promise<void> {
    if (this.#isIdle()) {
      return;
    }
    await new Promise<void>((resolve) => this.#idleCallbacks.push(resolve));
  }

  #isIdle(): boolean {
    return this.#quick + this.#slow + this.#waitingCount === 0;
  }

  #resolveIfIdle(): void {
    if (!this.#isIdle()) {
      return;
    }
    for (const resolve of this.#idleCallbacks) {
      resolve();
    }
    this.#idleCallbacks = [];
  }

  /**
   * Waits for a slot. The caller must release it.
   * @param signal stops waiting
   * @throws {OverloadedError} also if the signal aborts with a TimeoutError, because all of that time was spent waiting here
   * @throws {SlotsClosedError} or the reason of the signal
   */
  async acquire(key: string, signal?: AbortSignal): Promise<ReleaseSlot> {
    signal?.throwIfAborted();
    return this.#canStart(key) ? this.#start(key) : await this.#wait(key, signal);
  }

  /** Rejects all waiting calls. */
  close(): void {
    for (const waiters of [...this.#waiting.values()]) {
      for (const waiter of [...waiters]) {
        waiter.fail(new SlotsClosedError('closed'));
      }
    }
  }

  #canStart(key: string): boolean {
    const { quick, slow, perKey } = this.#options;
    const isFree = this.#slowKeys.has(key) ? this.#slow < slow : this.#quick < quick;
    return isFree && (this.#inFlightOf.get(key) ?? 0) < perKey;
  }

  async #wait(key: string, signal: AbortSignal | undefined): Promise<ReleaseSlot> {
    const { maxWaiting, maxWaitingPerKey, maxWaitMs } = this.#options;
    const ofKey = this.#waiting.get(key) ?? new Set();
    if (this.#waitingCount >= maxWaiting || ofKey.size >= maxWaitingPerKey) {
      throw this.#createOverloadedError('too many calls are waiting');
    }
    const { promise, resolve, reject } = Promise.withResolvers<ReleaseSlot>();
    const leave = () => {
      ofKey.delete(waiter);
      this.#waitingCount -= 1;
      if (ofKey.size === 0) {
        this.#waiting.delete(key);
      }
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    const waiter: Waiter = {
      start: (release) => {
        leave();
        resolve(release);
      },
      fail: (error) => {
        leave();
        reject(error);
        this.#resolveIfIdle();
      },
    };
    const timer = setTimeout(
      () => waiter.fail(this.#createOverloadedError('no slot became free in time')),
      maxWaitMs,
    );
    const onAbort = () => {
      const { reason } = signal ?? {};
      const isTimeout = reason instanceof Error && reason.name === 'TimeoutError';
      waiter.fail(isTimeout ? this.#createOverloadedError('no slot became free in time') : reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#waiting.set(key, ofKey.add(waiter));
    this.#waitingCount += 1;
    return await promise;
  }

  #createOverloadedError(message: string): OverloadedError {
    this.#overloaded += 1;
    return new OverloadedError(message);
  }

  #start(key: string): ReleaseSlot {
    const call: Call = { usesSlowSlot: this.#slowKeys.has(key) };
    if (call.usesSlowSlot) {
      this.#slow += 1;
    } else {
      this.#quick += 1;
    }
    this.#inFlightOf.set(key, (this.#inFlightOf.get(key) ?? 0) + 1);
    let isSlow = false;
    const timer = setTimeout(() => {
      isSlow = true;
      this.#slowKeys.set(key, true);
      if (!call.usesSlowSlot) {
        this.#slowInQuickSlots.add(call);
      }
      this.#startNext();
    }, this.#options.slowAfterMs);
    let isReleased = false;
    return () => {
      if (isReleased) {
        return;
      }
      isReleased = true;
      clearTimeout(timer);
      if (!isSlow) {
        this.#slowKeys.delete(key);
      }
      this.#finish(key, call);
    };
  }

  #finish(key: string, call: Call): void {
    this.#slowInQuickSlots.delete(call);
    if (call.usesSlowSlot) {
      this.#slow -= 1;
    } else {
      this.#quick -= 1;
    }
    const remaining = (this.#inFlightOf.get(key) ?? 1) - 1;
    if (remaining === 0) {
      this.#inFlightOf.delete(key);
    } else {
      this.#inFlightOf.set(key, remaining);
    }
    this.#startNext();
    this.#resolveIfIdle();
  }

  #startNext(): void {
    const { quick, slow } = this.#options;
    for (const call of this.#slowInQuickSlots) {
      if (this.#slow >= slow) {
        break;
      }
      this.#slowInQuickSlots.delete(call);
      call.usesSlowSlot = true;
      this.#slow += 1;
      this.#quick -= 1;
    }
    for (const [key, waiters] of this.#waiting) {
      const canStartSlow = this.#slow < slow && this.#slowKeys.size > 0;
      if (this.#quick >= quick && !canStartSlow) {
        return;
      }
      const [first] = waiters;
      if (first === undefined || !this.#canStart(key)) {
        continue;
      }
      first.start(this.#start(key));
      // The key moves to the end, so that its next call comes after those of the other keys. The loop reaches it again.
      if (waiters.size > 0) {
        this.#waiting.delete(key);
        this.#waiting.set(key, waiters);
      }
    }
  }
}
