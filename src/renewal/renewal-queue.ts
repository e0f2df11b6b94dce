// Runs due renewals of one kind, with bounded concurrency and at a bounded rate.

import { createRateLimit } from '../util/rate-limit.ts';
import { detachSlowTasks } from '../util/slot-limit.ts';
import type { Due } from './plan-types.ts';

export interface RenewalQueueOptions {
  /** Renewals that run at a time. */
  readonly concurrency: number;
  /** Renewals that start in a second. */
  readonly perSecond: number;
  /** How long a renewal holds its slot, in ms; {@link maxWaitMs} if not given. After that it continues without one. */
  readonly maxWaitMs?: number | undefined;
  /** What of a planned renewal is still due when it can start; undefined: another replica was faster. */
  stillDue(planned: Due): Due | undefined;
  /** Renews. Must not reject. */
  run(due: Due): Promise<void>;
}

/** A write that the API server has not answered by then most likely waits for an admission webhook. */
const maxWaitMs = 3_000;

/** Renewals that continue without a slot. Beyond these, a renewal holds its slot until it ends. */
const maxDetached = 64;

/**
 * A queue of renewals. Two queues never wait for each other. A renewal that takes long gives up its slot, so that one
 * namespace whose writes hang delays no other; it is not started a second time meanwhile.
 */
export class RenewalQueue {
  readonly #options: RenewalQueueOptions;
  readonly #rateLimit: () => Promise<void>;
  /** Namespace → its renewal. */
  readonly #inFlight = new Map<string, Promise<void>>();
  readonly #holdSlot: (ended: Promise<void>) => Promise<void>;
  #slotsInUse = 0;
  /** The least urgent first. */
  #pending: Due[] = [];
  #starting: Promise<void> | undefined;
  #stopped = false;

  constructor(options: RenewalQueueOptions) {
    this.#options = options;
    this.#holdSlot = detachSlowTasks({ maxWaitMs: options.maxWaitMs ?? maxWaitMs, maxDetached });
    this.#rateLimit = createRateLimit(options.perSecond, () => performance.now());
  }

  /** Renewals that wait or are in flight. */
  get size(): number {
    return this.#pending.length + this.#inFlight.size;
  }

  /** Renewals that wait. */
  get waiting(): number {
    return this.#pending.length;
  }

  /** Whether something waits, starts or is in flight. */
  get isBusy(): boolean {
    return this.#starting !== undefined || this.#inFlight.size > 0;
  }

  /** Takes a new plan, the most urgent first, in place of the one before. What is in flight goes on. */
  replace(due: readonly Due[]): void {
    this.#pending = due.filter(({ namespace }) => !this.#inFlight.has(namespace)).reverse();
    this.#start();
  }

  /** Starts nothing any more, and resolves when nothing is in flight. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#inFlight.values());
  }

  /** Resolves when what starts and what is in flight now is done. */
  async waitUntilIdle(): Promise<void> {
    await Promise.all([this.#starting, ...this.#inFlight.values()]);
  }

  #start(): void {
    this.#starting ??= this.#startOneByOne().finally(() => {
      this.#starting = undefined;
    });
  }

  /**
   * What starts is looked up when it may start: otherwise every replica would use up its rate on what another one has just
   * done, and all of them together would be no faster than one.
   */
  async #startOneByOne(): Promise<void> {
    while (!this.#stopped && this.#pending.length > 0 && this.#slotsInUse < this.#options.concurrency) {
      await this.#rateLimit();
      const due = this.#stopped ? undefined : this.#nextStillDue();
      if (due !== undefined) {
        this.#run(due);
      }
    }
  }

  #run(due: Due): void {
    const { namespace } = due;
    const ended = this.#options.run(due);
    this.#slotsInUse += 1;
    const released = this.#holdSlot(ended).then(() => {
      this.#slotsInUse -= 1;
      this.#start();
    });
    const done = Promise.all([ended, released]).then(() => {
      this.#inFlight.delete(namespace);
    });
    this.#inFlight.set(namespace, done);
  }

  /** A Secret that was created again may have been planned twice. */
  #nextStillDue(): Due | undefined {
    for (let planned = this.#pending.pop(); planned !== undefined; planned = this.#pending.pop()) {
      const due = this.#inFlight.has(planned.namespace) ? undefined : this.#options.stillDue(planned);
      if (due !== undefined) {
        return due;
      }
    }
    return undefined;
  }
}
