// Bounds how many tasks run at a time, without letting slow ones delay the others.
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';

export interface PatienceOptions {
  /** How long a task may hold its slot, in ms. After that it continues without one. */
  readonly patienceMs: number;
  /** Tasks that continue without a slot at a time. Beyond these, a task holds its slot until it ends. */
  readonly maxDetached: number;
}

export interface PatientLimitOptions extends PatienceOptions {
  /** Tasks that hold a slot at a time. */
  readonly concurrency: number;
}

export interface PatientLimit {
  /** Tasks that have not started. */
  readonly waiting: number;
  /** Runs a task as soon as a slot is free. Resolves or rejects as the task does. */
  run<T>(task: () => Promise<T>): Promise<T>;
}

/**
 * Makes the function that says how long a task holds its slot.
 * @returns takes the end of a task, which must not reject; resolves when the task has ended, or may continue without its slot
 */
export function patience({
  patienceMs,
  maxDetached,
}: PatienceOptions): (ended: Promise<void>) => Promise<void> {
  let detached = 0;
  return async (ended) => {
    const timer = new AbortController();
    const timeout = sleep(patienceMs, true, { signal: timer.signal, ref: false }).catch(() => false);
    const isSlow = await Promise.race([ended.then(() => false), timeout]);
    timer.abort();
    if (!isSlow) {
      return;
    }
    if (detached >= maxDetached) {
      await ended;
      return;
    }
    detached += 1;
    void ended.then(() => {
      detached -= 1;
    });
  };
}

/** A concurrency limit for calls of which a few may hang: p-limit, with slots that are given up. */
export function patientLimit({ concurrency, ...options }: PatientLimitOptions): PatientLimit {
  const limit = pLimit(concurrency);
  const holdSlot = patience(options);
  return {
    get waiting() {
      return limit.pendingCount;
    },
    run: (task) =>
      new Promise((resolve, reject) => {
        void limit(async () => {
          const running = (async () => await task())();
          running.then(resolve, reject);
          await holdSlot(running.then(ignore, ignore));
        });
      }),
  };
}

function ignore(): void {}
