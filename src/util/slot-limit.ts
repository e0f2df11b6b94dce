// Bounds how many tasks run at a time, without letting slow ones delay the others.
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';

export interface DetachOptions {
  /** How long a task may hold its slot, in ms. After that it continues without one. */
  readonly maxWaitMs: number;
  /** Tasks that continue without a slot at a time. Beyond these, a task holds its slot until it ends. */
  readonly maxDetached: number;
}

export interface SlotLimitOptions extends DetachOptions {
  /** Tasks that hold a slot at a time. */
  readonly concurrency: number;
}

export interface SlotLimit {
  /** Tasks that have not started. */
  readonly waiting: number;
  /** Runs a task as soon as a slot is free. Resolves or rejects as the task does. */
  run<T>(task: () => Promise<T>): Promise<T>;
}

/**
 * Makes the function that says how long a task holds its slot.
 * @returns takes the end of a task, which must not reject; resolves when the task has ended, or may continue without its slot
 */
export function detachSlowTasks({
  maxWaitMs,
  maxDetached,
}: DetachOptions): (taskEnd: Promise<void>) => Promise<void> {
  let detached = 0;
  return async (taskEnd) => {
    const timer = new AbortController();
    const timeout = sleep(maxWaitMs, true, { signal: timer.signal, ref: false }).catch(() => false);
    const isSlow = await Promise.race([taskEnd.then(() => false), timeout]);
    timer.abort();
    if (!isSlow) {
      return;
    }
    if (detached >= maxDetached) {
      await taskEnd;
      return;
    }
    detached += 1;
    void taskEnd.then(() => {
      detached -= 1;
    });
  };
}

/** A concurrency limit for calls of which a few may hang: p-limit, with slots that are given up. */
export function createSlotLimit({ concurrency, ...options }: SlotLimitOptions): SlotLimit {
  const limit = pLimit(concurrency);
  const slowTaskGuard = detachSlowTasks(options);
  return {
    get waiting() {
      return limit.pendingCount;
    },
    run: (task) =>
      new Promise((resolve, reject) => {
        void limit(async () => {
          const running = (async () => await task())();
          running.then(resolve, reject);
          await slowTaskGuard(running.then(ignore, ignore));
        });
      }),
  };
}

function ignore(): void {}
