// A queue that is fair between namespaces: no namespace can make another wait for long.
import type { TokenBucket } from './rate-limit.ts';

/** Bounds of a {@link FairQueue}. */
export interface FairQueueOptions {
  /** Maximum number of running jobs, over all namespaces. */
  readonly concurrency: number;
  /** Maximum number of running jobs that were started for one namespace. */
  readonly perNamespace: number;
  /** Maximum number of waiting jobs of one namespace. */
  readonly maxWaiting: number;
  /** Limits how often jobs start, over all namespaces; by default, nothing does. */
  readonly rate?: TokenBucket;
}

/** Work that several namespaces may wait for, and that runs once. */
export class Job {
  /** Jobs with the same key never run at the same time. */
  readonly serializeBy: string;
  readonly #run: () => Promise<unknown>;
  #started = false;

  /** @param run must not reject, and must end without help */
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
 * Runs jobs with bounded concurrency and rate, round-robin by namespace. A job that several namespaces wait for is started for the one
 * whose turn comes first, so a namespace that fills its own queue delays only itself.
 *
 * src/kube/call-slots.ts is also fair by key, but a different queue: its calls belong to one key, can be cancelled while they
 * wait, and move to other slots when they turn out to be slow.
 */
export class FairQueue {
  readonly #options: FairQueueOptions;
  /** Namespace → its jobs, oldest first; the namespace whose turn is next comes first. */
  readonly #waiting = new Map<string, Job[]>();
  readonly #runningByNamespace = new Map<string, number>();
  readonly #serialized = new Set<string>();
  #running = 0;
  /** Waits until the rate allows another job; undefined: it does, or no job waits. */
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FairQueueOptions) {
    this.#options = options;
  }

  /** Whether the namespace may add one more job. */
  hasRoom(namespace: string): boolean {
    return this.#getWaiting(namespace).length < this.#options.maxWaiting;
  }

  /**
   * Adds a job that waits on behalf of a namespace. One job may be added for several namespaces.
   * @returns false if too many jobs of the namespace are waiting already; the job is not added then
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

  /** Jobs of a namespace that have not started, for it or for another namespace. */
  #getWaiting(namespace: string): Job[] {
    return (this.#waiting.get(namespace) ?? []).filter(({ started }) => !started);
  }

  #startNext(): void {
    const { concurrency, rate } = this.#options;
    while (this.#running < concurrency && this.#timer === undefined) {
      const waitMs = rate?.waitMs ?? 0;
      if (waitMs > 0) {
        this.#startAfter(waitMs);
        return;
      }
      const next = this.#takeNext();
      if (next === undefined) {
        return;
      }
      rate?.trySpend();
      void this.#run(next.namespace, next.job);
    }
  }

  #startAfter(waitMs: number): void {
    if (this.#waiting.size === 0) {
      return;
    }
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#options.rate?.grantOne();
      this.#startNext();
    }, waitMs);
  }

  /** Removes the next job that may run, and moves its namespace to the end. */
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
