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

/** Namespaces that have a budget of their own. Beyond that, the least recently used one starts with a full budget again. */
const maxBudgets = 20_000;

/** A token bucket for each namespace: `burst` operations at once, then one more every `refillMs`. */
export class NamespaceBudgets {
  readonly #burst: number;
  readonly #refillMs: number;
  readonly #monotonicNow: () => number;
  readonly #buckets = new LRUCache<string, { remaining: number; at: number }>({ max: maxBudgets });

  /** @param now monotonic clock, in ms */
  constructor({ burst, refillMs, now }: { burst: number; refillMs: number; now: () => number }) {
    this.#burst = burst;
    this.#refillMs = refillMs;
    this.#monotonicNow = now;
  }

  /** @returns false if the namespace has spent its budget */
  trySpend(namespace: string): boolean {
    const now = this.#monotonicNow();
    const { remaining, at } = this.#buckets.get(namespace) ?? { remaining: this.#burst, at: now };
    const refilled = Math.min(this.#burst, remaining + (now - at) / this.#refillMs);
    const isGranted = refilled >= 1;
    this.#buckets.set(namespace, { remaining: isGranted ? refilled - 1 : refilled, at: now });
    return isGranted;
  }
}
