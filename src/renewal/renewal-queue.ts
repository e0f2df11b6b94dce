// Runs due renewals of one kind, with bounded concurrency and at a bounded rate.
import { createRateLimit } from '../util/rate-limit.ts';
import { detachSlowTasks } from '../util/slot-limit.ts';
import type { Due } from './plan-types.ts';

export interface RenewalQueueOptions {
  /** Renewals that hold a slot at the same time. */
  readonly concurrency: number;
  /** Renewals started per second. */
  readonly perSecond: number;
  /** How long a renewal holds its slot, in ms; {@link defaultMaxWaitMs} by default. After that it continues without one. */
  readonly maxWaitMs?: number | undefined;
  /** What is still due of a planned renewal when it can start; undefined: nothing, because another replica was faster. */
  stillDue(planned: Due): Due | undefined;
  /** Renews. Must not reject. */
  run(due: Due): Promise<void>;
}

/** A write that takes longer than this most likely waits for a slow admission webhook, in ms. */
const defaultMaxWaitMs = 3_000;

/** Maximum of renewals that continue without a slot. Beyond it, a renewal holds its slot until it completes. */
const maxDetached = 64;

/**
 * A queue of renewals that does not depend on other queues. A slow renewal gives up its slot, so that a namespace whose writes
 * hang does not delay the others. No second renewal starts in that namespace meanwhile.
 */
export class RenewalQueue {
  readonly #options: RenewalQueueOptions;
  readonly #rateLimit: () => Promise<void>;
  /** Namespace → its renewal. */
  readonly #inFlight = new Map<string, Promise<void>>();
  readonly #holdSlot: (completion: Promise<void>) => Promise<void>;
  #slotsInUse = 0;
  /** The least urgent first, so that `pop` returns the most urgent. */
  #pending: Due[] = [];
  #starting: Promise<void> | undefined;
  #stopped = false;

  constructor(options: RenewalQueueOptions) {
    this.#options = options;
    this.#holdSlot = detachSlowTasks({ maxWaitMs: options.maxWaitMs ?? defaultMaxWaitMs, maxDetached });
    this.#rateLimit = createRateLimit(options.perSecond, () => performance.now());
  }

  /** Renewals that are pending or in flight. */
  get size(): number {
    return this.#pending.length + this.#inFlight.size;
  }

  /** Renewals that have not started. */
  get pendingCount(): number {
    return this.#pending.length;
  }

  /** Whether a renewal is about to start or in flight. */
  get isBusy(): boolean {
    return this.#starting !== undefined || this.#inFlight.size > 0;
  }

  /** Replaces the pending renewals, the most urgent first. Renewals in flight continue. */
  replace(due: readonly Due[]): void {
    this.#pending = due.filter(({ namespace }) => !this.#inFlight.has(namespace)).reverse();
    this.#start();
  }

  /** Stops starting renewals, and resolves when none is in flight. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#inFlight.values());
  }

  /** Resolves when the renewals that are starting or in flight now are done. */
  async waitUntilIdle(): Promise<void> {
    await Promise.all([this.#starting, ...this.#inFlight.values()]);
  }

  #start(): void {
    this.#starting ??= this.#startOneByOne().finally(() => {
      this.#starting = undefined;
    });
  }

  /**
   * Checks whether a renewal is still due only when it can start. Otherwise each replica would spend its rate limit on renewals
   * that another replica has just done, and all replicas together would be no faster than one.
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
    const completion = this.#options.run(due);
    this.#slotsInUse += 1;
    const released = this.#holdSlot(completion).then(() => {
      this.#slotsInUse -= 1;
      this.#start();
    });
    const done = Promise.all([completion, released]).then(() => {
      this.#inFlight.delete(namespace);
    });
    this.#inFlight.set(namespace, done);
  }

  /** Skips namespaces in flight, because a Secret that was created again can be planned twice. */
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
