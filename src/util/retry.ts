// Repeats a call that failed, for example because another writer was faster.
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * When to repeat a failed call.
 * @param attempts failed calls so far, from 1
 * @param elapsedMs time since the first call began
 * @returns how long to wait before the next call, in ms; undefined: do not retry
 */
type GetRetryDelay = (error: unknown, attempts: number, elapsedMs: number) => number | undefined;

/**
 * Calls `run` until it succeeds, or until the policy says not to retry. Rejects with the last error then.
 *
 * p-retry is not used because it has one backoff for all errors and another jitter than `backoffMs`.
 * @param getDelayMs called once after each failure
 */
export async function retry<T>(run: () => Promise<T>, getDelayMs: GetRetryDelay): Promise<T> {
  const startedAt = performance.now();
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await run();
    } catch (error) {
      const delayMs = getDelayMs(error, attempts, performance.now() - startedAt);
      if (delayMs === undefined) {
        throw error;
      }
      await sleep(delayMs);
    }
  }
}
