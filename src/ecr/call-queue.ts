// Queues calls of GetAuthorizationToken so that endpoints that are known to exist never wait for made-up ones.
import pLimit from 'p-limit';
import { FairQueue, Job } from '../util/fair-queue.ts';
import { NamespaceBudgets } from '../util/rate-limit.ts';

/** How sure it is that an endpoint exists. Image names are untrusted input, and users can make up endpoints. */
export type EndpointTrust =
  /** This process has received a token from it, or the operator configured its registry. */
  | 'proven'
  /** A managed Secret claims to hold a valid token from it. Users who may edit that Secret can forge the claim. */
  | 'claimed'
  /** Only an image names it. */
  | 'unproven';

/** Max concurrent calls. Each endpoint has at most one in flight, and ECR allows 20 per second in each region. */
const concurrency = { proven: 32, claimed: 16, unproven: 16 };

/** Max calls for endpoints that are not proven that run, and wait, for one namespace. */
const namespaceLimits = { perNamespace: 2, maxWaiting: 16 };

/** Rate limit of calls for endpoints that are not proven, for each namespace: 10 at once, then 12 per minute. */
const namespaceBudget = { burst: 10, refillMs: 5_000 };

/** A call that waits or is in flight. */
export interface QueuedCall<T> {
  readonly result: Promise<T>;
  /** Adds another namespace that waits for the call, so that it also takes a place in that namespace's queue. */
  addNamespace(namespace: string): void;
}

/** Runs calls in three queues, one for each {@link EndpointTrust}. Calls are never canceled. */
export class CallQueue {
  readonly #proven = pLimit(concurrency.proven);
  readonly #claimed = new FairQueue({ concurrency: concurrency.claimed, ...namespaceLimits });
  readonly #unproven = new FairQueue({ concurrency: concurrency.unproven, ...namespaceLimits });
  readonly #budgets: NamespaceBudgets;
  /** Key → completion of the last proven call with that key. */
  readonly #tails = new Map<string, Promise<unknown>>();

  /** @param monotonicNow a monotonic clock, in ms */
  constructor(monotonicNow: () => number) {
    this.#budgets = new NamespaceBudgets({ ...namespaceBudget, now: monotonicNow });
  }

  /**
   * Queues a call for a proven endpoint.
   * @param serializeBy calls with the same key run one after the other
   */
  addProven<T>(serializeBy: string, call: () => Promise<T>): QueuedCall<T> {
    const previous = this.#tails.get(serializeBy) ?? Promise.resolve();
    const result = previous.then(() => this.#proven(call));
    const tail = result
      .catch(() => undefined) // the caller receives the error
      .then(() => {
        if (this.#tails.get(serializeBy) === tail) {
          this.#tails.delete(serializeBy);
        }
      });
    this.#tails.set(serializeBy, tail);
    return { result, addNamespace: () => undefined };
  }

  /**
   * Queues a call for an endpoint that may not exist.
   * @param namespace the namespace that needs the token; its queue and its rate are limited
   * @param serializeBy calls with the same key and trust run one after the other
   * @returns undefined if the namespace has reached its limits
   */
  addUntrusted<T>(
    namespace: string,
    trust: Exclude<EndpointTrust, 'proven'>,
    serializeBy: string,
    call: () => Promise<T>,
  ): QueuedCall<T> | undefined {
    const queue = trust === 'claimed' ? this.#claimed : this.#unproven;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const job = new Job(serializeBy, () => call().then(resolve, reject));
    const admit = (one: string) => queue.hasRoom(one) && this.#budgets.trySpend(one) && queue.add(one, job);
    return admit(namespace)
      ? { result: promise, addNamespace: (other) => void (job.started || admit(other)) }
      : undefined;
  }
}
