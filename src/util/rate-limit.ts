import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Gives turns at a steady rate: each call resolves when its turn has come, the first at once. Turns that nobody took
 * are not saved up.
 */
export function paced(perSecond: number, steady: () => number): () => Promise<void> {
  const gap = 1000 / perSecond;
  let next = Number.NEGATIVE_INFINITY;
  return async () => {
    const now = steady();
    const turn = Math.max(now, next);
    next = turn + gap;
    if (turn > now) {
      await sleep(turn - now);
    }
  };
}
