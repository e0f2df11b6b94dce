import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Asks again and again until `probe` gives something other than undefined, false or a throw.
 * @param withinMs after which the last throw, or an error with `what` in it, is thrown
 */
export async function eventually<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  withinMs = 10_000,
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
