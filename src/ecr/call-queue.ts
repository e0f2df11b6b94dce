// The order in which calls of GetAuthorizationToken run: what is known to work never waits for what may be made up.
import pLimit from 'p-limit';
import { FairQueue, Job, NamespaceBudgets } from '../util/fair-queue.ts';

/** How much is known of an endpoint. Image names are untrusted input, and most endpoints that they can name do not exist. */
export type EndpointTrust =
  /** This process has received a token from it, or the operator configured it. */
  | 'proven'
  /** A managed Secret says that it holds a valid token from it. Who may edit that Secret can forge this. */
  | 'claimed'
  /** Only an image names it. */
  | 'unproven';

/** Calls that run at a time. One call is in flight per endpoint, and ECR allows 20 a second in each region. */
const concurrency = { proven: 32, claimed: 16, unproven: 16 };

/** Calls for endpoints that are not proven: how many run, and wait, on behalf of one namespace. */
const namespaceLimits = { perNamespace: 2, maxWaiting: 16 };

/** Calls for endpoints that are not proven, on behalf of one namespace: 10 at once, then 12 a minute. */
const namespaceBudget = { burst: 10, refillMs: 5_000 };

/** A call that waits or runs. */
export interface QueuedCall<T> {
  readonly result: Promise<T>;
  /** Adds a namespace that waits for it too: the call runs on whichever turn comes first. */
  addNamespace(namespace: string): void;
}

/** Runs calls in three queues, one for each {@link EndpointTrust}. It never cancels a call. */
export class CallQueue {
  readonly #proven = pLimit(concurrency.proven);
  readonly #claimed = new FairQueue({ concurrency: concurrency.claimed, ...namespaceLimits });
  readonly #unproven = new FairQueue({ concurrency: concurrency.unproven, ...namespaceLimits });
  readonly #budgets: NamespaceBudgets;
  /** Key → end of the last proven call with it. */
  readonly #tails = new Map<string, Promise<unknown>>();

  /** @param monotonicNow a monotonic clock, in ms */
  constructor(monotonicNow: () => number) {
    this.#budgets = new NamespaceBudgets({ ...namespaceBudget, now: monotonicNow });
  }

  /**
   * Queues a call for an endpoint that this process or the operator vouches for.
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
   * Queues a call for an endpoint that may be made up.
   * @param namespace on whose behalf; its queue and its budget are bounded
   * @param serializeBy calls with the same key and trust run one after the other
   * @returns undefined if the namespace has used up its share
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
