// Waits until a condition holds, so that tests do not sleep.
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Calls `probe` repeatedly until it returns something other than undefined or false, without throwing.
 * @param withinMs after this time, throws the last error of `probe`, or an error that contains `what`
 */
export async function eventually<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  withinMs = 60_000,
): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    let lastError: unknown = new Error(`not within ${withinMs} ms: ${what}`);
    try {
      const result = await probe();
      if (result !== undefined && result !== false) {
        return result;
      }
    } catch (error) {
      lastError = error;
    }
    if (Date.now() > deadline) {
      throw lastError;
    }
    await sleep(20);
  }
}
