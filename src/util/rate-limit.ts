import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Gives turns at a steady rate: each call resolves when its turn has come, the first at once. Turns that nobody took
 * are not saved up.
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
