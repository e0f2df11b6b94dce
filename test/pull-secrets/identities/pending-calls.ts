// Lets a property test decide the order in which calls that are in flight complete.
import { setImmediate } from 'node:timers/promises';

export class PendingCalls {
  readonly #pending: (() => void)[] = [];

  get size(): number {
    return this.#pending.length;
  }

  /** Resolves when the test lets this call complete. */
  wait(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pending.push(resolve);
    return promise;
  }

  /** Lets one call complete, and waits for everything that follows at once. */
  async completeOne(choice: number): Promise<void> {
    const [resolve] = this.#pending.splice(choice % Math.max(1, this.#pending.length), 1);
    resolve?.();
    await setImmediate();
  }
}
