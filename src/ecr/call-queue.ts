// The order in which calls of GetAuthorizationToken run: what is known to work never waits for what may be made up.
import pLimit from 'p-limit';
import { FairQueue, Job, NamespaceBudgets } from '../util/fair-queue.ts';

/** How much is known of an endpoint. Image names are untrusted input, and most endpoints that they can name do not exist. */
export type Standing =
  /** This process has received a token from it, or the operator configured it. */
  | 'proven'
  /** A managed Secret says that it holds a valid token from it. Who may edit that Secret can forge this. */
  | 'claimed'
  /** Only an image names it. */
  | 'unproven';

/** Calls that run at a time. One call is in flight per endpoint, and ECR allows 20 a second in each region. */
const concurrency = { proven: 32, claimed: 16, unproven: 16 };

/** Calls for endpoints that are not proven: how many run, and wait, on behalf of one namespace. */
const perNamespace = { perNamespace: 2, maxWaiting: 16 };

/** Calls for endpoints that are not proven, on behalf of one namespace: 10 at once, then 12 a minute. */
const budget = { burst: 10, refillMs: 5_000 };

/** A call that waits or runs. */
export interface QueuedCall<T> {
  readonly result: Promise<T>;
  /** Adds a namespace that waits for it too: the call runs on whichever turn comes first. */
  join(namespace: string): void;
}

/** Runs calls in three queues, one for each {@link Standing}. It never cancels a call. */
export class CallQueue {
  readonly #proven = pLimit(concurrency.proven);
  readonly #claimed = new FairQueue({ concurrency: concurrency.claimed, ...perNamespace });
  readonly #unproven = new FairQueue({ concurrency: concurrency.unproven, ...perNamespace });
  readonly #budgets: NamespaceBudgets;
  /** Key → end of the last proven call with it. */
  readonly #ends = new Map<string, Promise<unknown>>();

  /** @param monotonicNow a monotonic clock, in ms */
  constructor(monotonicNow: () => number) {
    this.#budgets = new NamespaceBudgets({ ...budget, now: monotonicNow });
  }

  /**
   * Queues a call for an endpoint that this process or the operator vouches for.
   * @param serializeBy calls with the same key run one after the other
   */
  addProven<T>(serializeBy: string, call: () => Promise<T>): QueuedCall<T> {
    const before = this.#ends.get(serializeBy) ?? Promise.resolve();
    const result = before.then(() => this.#proven(call));
    const end = result
      .catch(() => undefined) // the caller receives the error
      .then(() => {
        if (this.#ends.get(serializeBy) === end) {
          this.#ends.delete(serializeBy);
        }
      });
    this.#ends.set(serializeBy, end);
    return { result, join: () => undefined };
  }

  /**
   * Queues a call for an endpoint that may be made up.
   * @param namespace on whose behalf; its queue and its budget are bounded
   * @param serializeBy calls with the same key and standing run one after the other
   * @returns undefined if the namespace has used up its share
   */
  addUntrusted<T>(
    namespace: string,
    standing: Exclude<Standing, 'proven'>,
    serializeBy: string,
    call: () => Promise<T>,
  ): QueuedCall<T> | undefined {
    const queue = standing === 'claimed' ? this.#claimed : this.#unproven;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const job = new Job(serializeBy, () => call().then(resolve, reject));
    const admit = (one: string) => queue.hasRoom(one) && this.#budgets.spend(one) && queue.add(one, job);
    return admit(namespace)
      ? { result: promise, join: (other) => void (job.started || admit(other)) }
      : undefined;
  }
}
