// A queue that is fair between namespaces: no namespace can make another one wait for long.
import { LRUCache } from 'lru-cache';

/** Bounds of a {@link FairQueue}. */
export interface FairQueueOptions {
  /** Jobs that run at a time, over all namespaces. */
  readonly concurrency: number;
  /** Jobs that run at a time on the turn of one namespace. */
  readonly perNamespace: number;
  /** Jobs of one namespace that wait at a time. */
  readonly maxWaiting: number;
}

/** A piece of work that may be wanted by several namespaces, and is done once. */
export class Job {
  /** Jobs with the same key run one after the other. */
  readonly serializeBy: string;
  readonly #run: () => Promise<unknown>;
  #started = false;

  /** @param run must not reject, and must end by itself */
  constructor(serializeBy: string, run: () => Promise<unknown>) {
    this.serializeBy = serializeBy;
    this.#run = run;
  }

  get started(): boolean {
    return this.#started;
  }

  start(): Promise<unknown> {
    this.#started = true;
    return this.#run();
  }
}

/**
 * Runs jobs with bounded concurrency, one namespace after the other. A job that several namespaces wait for runs on the
 * turn of whichever comes first, so a namespace that fills its own queue delays only itself.
 */
export class FairQueue {
  readonly #options: FairQueueOptions;
  /** Namespace → its jobs, oldest first; the namespace whose turn is next comes first. */
  readonly #waiting = new Map<string, Job[]>();
  readonly #runningByNamespace = new Map<string, number>();
  readonly #serialized = new Set<string>();
  #running = 0;

  constructor(options: FairQueueOptions) {
    this.#options = options;
  }

  /** Whether the namespace may add one more job. */
  hasRoom(namespace: string): boolean {
    return this.#getWaiting(namespace).length < this.#options.maxWaiting;
  }

  /**
   * Adds a job that waits on behalf of a namespace. One job may be added for several namespaces.
   * @returns false, and adds nothing, if too many jobs of the namespace wait already
   */
  add(namespace: string, job: Job): boolean {
    if (!this.hasRoom(namespace)) {
      return false;
    }
    const waiting = this.#getWaiting(namespace);
    if (!waiting.includes(job)) {
      this.#waiting.set(namespace, [...waiting, job]);
      this.#startNext();
    }
    return true;
  }

  /** A job may have started on the turn of another namespace. */
  #getWaiting(namespace: string): Job[] {
    return (this.#waiting.get(namespace) ?? []).filter(({ started }) => !started);
  }

  #startNext(): void {
    while (this.#running < this.#options.concurrency) {
      const next = this.#takeNext();
      if (next === undefined) {
        return;
      }
      void this.#run(next.namespace, next.job);
    }
  }

  /** Takes the next job that may run, and moves its namespace to the end. */
  #takeNext(): { namespace: string; job: Job } | undefined {
    for (const namespace of this.#waiting.keys()) {
      const waiting = this.#getWaiting(namespace);
      const job = this.#findRunnable(namespace, waiting);
      const remaining = waiting.filter((other) => other !== job);
      if (job !== undefined || remaining.length === 0) {
        this.#waiting.delete(namespace);
      }
      if (remaining.length > 0) {
        this.#waiting.set(namespace, remaining);
      }
      if (job !== undefined) {
        return { namespace, job };
      }
    }
    return undefined;
  }

  #findRunnable(namespace: string, waiting: readonly Job[]): Job | undefined {
    return (this.#runningByNamespace.get(namespace) ?? 0) < this.#options.perNamespace
      ? waiting.find(({ serializeBy }) => !this.#serialized.has(serializeBy))
      : undefined;
  }

  async #run(namespace: string, job: Job): Promise<void> {
    this.#running += 1;
    this.#runningByNamespace.set(namespace, (this.#runningByNamespace.get(namespace) ?? 0) + 1);
    this.#serialized.add(job.serializeBy);
    await job.start();
    this.#running -= 1;
    this.#serialized.delete(job.serializeBy);
    const remaining = (this.#runningByNamespace.get(namespace) ?? 1) - 1;
    if (remaining > 0) {
      this.#runningByNamespace.set(namespace, remaining);
    } else {
      this.#runningByNamespace.delete(namespace);
    }
    this.#startNext();
  }
}

/** How many namespaces have a budget of their own; the least recently used one beyond that starts with a full one. */
const maxBudgets = 20_000;

/**
 * A token bucket for each namespace: `burst` at once, then one more each `refillMs`.
 * @param now a monotonic clock in ms
 */
export class NamespaceBudgets {
  readonly #burst: number;
  readonly #refillMs: number;
  readonly #now: () => number;
  readonly #buckets = new LRUCache<string, { left: number; at: number }>({ max: maxBudgets });

  constructor({ burst, refillMs, now }: { burst: number; refillMs: number; now: () => number }) {
    this.#burst = burst;
    this.#refillMs = refillMs;
    this.#now = now;
  }

  /** @returns false if the namespace has spent its budget */
  trySpend(namespace: string): boolean {
    const now = this.#now();
    const { left, at } = this.#buckets.get(namespace) ?? { left: this.#burst, at: now };
    const refilled = Math.min(this.#burst, left + (now - at) / this.#refillMs);
    const granted = refilled >= 1;
    this.#buckets.set(namespace, { left: granted ? refilled - 1 : refilled, at: now });
    return granted;
  }
}
