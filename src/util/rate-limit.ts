// Limits how often something happens: for all callers together, or for each namespace.
import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';

/**
 * Creates a function whose calls resolve at most `perSecond` times a second, evenly spaced. The first call resolves at once.
 * Unused time is not saved up: there are no bursts.
 *
 * p-throttle is not used because its clock cannot be replaced in tests.
 * @param monotonicNow monotonic clock, in ms
 */
export function createRateLimit(perSecond: number, monotonicNow: () => number): () => Promise<void> {
  const intervalMs = 1000 / perSecond;
  let nextAt = Number.NEGATIVE_INFINITY;
  return async () => {
    const now = monotonicNow();
    const startAt = Math.max(now, nextAt);
    nextAt = startAt + intervalMs;
    if (startAt > now) {
      await sleep(startAt - now);
    }
  };
}

/** Bounds of a {@link TokenBucket}. */
export interface TokenBucketOptions {
  /** Max operations at once. */
  readonly burst: number;
  /** After how long one more operation is allowed, in ms. */
  readonly refillMs: number;
  /** A monotonic clock, in ms. */
  readonly now: () => number;
}

/** How a {@link TokenBucket} follows a server that refuses operations: half of the rate, and back in steps of a hundredth. */
const adaptation = { decrease: 0.5, increase: 0.01, minimum: 0.05, minIntervalMs: 1_000 };

/** Allows `burst` operations at once, then one more every `refillMs`. */
export class TokenBucket {
  readonly #options: TokenBucketOptions;
  #remaining: number;
  #at: number;
  /** The part of the rate that is used now, up to 1. */
  #share = 1;
  #slowedAt = Number.NEGATIVE_INFINITY;

  constructor(options: TokenBucketOptions) {
    this.#options = options;
    this.#remaining = options.burst;
    this.#at = options.now();
  }

  /** How long until an operation is allowed, in ms; 0: now. */
  get waitMs(): number {
    this.#refill();
    return this.#remaining >= 1
      ? 0
      : Math.ceil(((1 - this.#remaining) * this.#options.refillMs) / this.#share);
  }

  /**
   * Halves the rate, because the server allows fewer operations of all its clients together. Refusals within a second count once,
   * because they are of operations that were started at the same rate. Nothing is saved up any more.
   */
  slowDown(): void {
    this.#refill();
    this.#remaining = Math.min(this.#remaining, 0);
    if (this.#at - this.#slowedAt >= adaptation.minIntervalMs) {
      this.#slowedAt = this.#at;
      this.#share = Math.max(adaptation.minimum, this.#share * adaptation.decrease);
    }
  }

  /** Raises a reduced rate a little, because the server did not refuse an operation. */
  speedUp(): void {
    this.#refill();
    this.#share = Math.min(1, this.#share + adaptation.increase);
  }

  /** @returns false if no operation is allowed now */
  trySpend(): boolean {
    this.#refill();
    const isGranted = this.#remaining >= 1;
    this.#remaining -= isGranted ? 1 : 0;
    return isGranted;
  }

  /** Allows one operation at least, because a timer of {@link waitMs} has ended. The clock may stand still meanwhile. */
  grantOne(): void {
    this.#refill();
    this.#remaining = Math.max(this.#remaining, 1);
  }

  #refill(): void {
    const { burst, refillMs, now: getNow } = this.#options;
    const now = getNow();
    this.#remaining = Math.min(burst, this.#remaining + ((now - this.#at) * this.#share) / refillMs);
    this.#at = now;
  }
}

/** Namespaces that have a budget of their own. Beyond that, the least recently used one starts with a full budget again. */
const maxBudgets = 20_000;

/** A {@link TokenBucket} for each namespace. */
export class NamespaceBudgets {
  readonly #options: TokenBucketOptions;
  readonly #buckets = new LRUCache<string, TokenBucket>({ max: maxBudgets });

  constructor(options: TokenBucketOptions) {
    this.#options = options;
  }

  /** @returns false if the namespace has spent its budget */
  trySpend(namespace: string): boolean {
    const bucket = this.#buckets.get(namespace) ?? new TokenBucket(this.#options);
    this.#buckets.set(namespace, bucket);
    return bucket.trySpend();
  }
}
