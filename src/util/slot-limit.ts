// Limits how many tasks run at a time, without letting slow tasks delay the others.
import pLimit from 'p-limit';
import { waitAtMost } from './timeout.ts';

export interface DetachOptions {
  /** How long a task may hold its slot, in ms. After that it continues without one. */
  readonly maxWaitMs: number;
  /** Maximum number of tasks that continue without a slot. Beyond that, a task holds its slot until it ends. */
  readonly maxDetached: number;
}

export interface SlotLimitOptions extends DetachOptions {
  /** Maximum number of tasks that hold a slot. */
  readonly concurrency: number;
}

export interface SlotLimit {
  /** Number of tasks that have not started. */
  readonly waiting: number;
  /** Runs a task as soon as a slot is free. Settles as the task does. */
  run<T>(task: () => Promise<T>): Promise<T>;
}

/**
 * Creates a function that waits until a task releases its slot.
 * @returns takes a promise of the task's end, which must not reject; resolves when the task has ended or may continue without
 *   its slot
 */
export function detachSlowTasks({
  maxWaitMs,
  maxDetached,
}: DetachOptions): (taskEnd: Promise<void>) => Promise<void> {
  let detached = 0;
  return async (taskEnd) => {
    const hasEnded = taskEnd.then(() => true);
    if (await waitAtMost(maxWaitMs, hasEnded, () => false, { ref: false })) {
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

/** A concurrency limit for calls of which a few may hang: p-limit, but slow tasks lose their slot. */
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
