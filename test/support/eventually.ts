// Waits until a condition holds.
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
    let problem: unknown = new Error(`not within ${withinMs} ms: ${what}`);
    try {
      const found = await probe();
      if (found !== undefined && found !== false) {
        return found;
      }
    } catch (error) {
      problem = error;
    }
    if (Date.now() > deadline) {
      throw problem;
    }
    await sleep(20);
  }
}
