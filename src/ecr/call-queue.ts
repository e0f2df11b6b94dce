// Queues calls of GetAuthorizationToken so that no namespace and no made-up endpoint delays the calls of others.
import pLimit from 'p-limit';
import { FairQueue, Job } from '../util/fair-queue.ts';
import { NamespaceBudgets, TokenBucket } from '../util/rate-limit.ts';

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

/**
 * Calls with identities of which users can cause any number, in one region. The rate is half of the 20 calls per second that ECR
 * allows in each account and region, for two replicas that both have a backlog. More replicas, and other clients of the account, share
 * it because each throttled call slows its replica down. A region that hangs uses up its own calls only.
 */
const regionLimits = { concurrency: 16, perNamespace: 2, maxWaiting: 64 };
const regionRate = { burst: 20, refillMs: 100 };

/**
 * Rate limit of such calls, for each namespace: 50 at once, then 30 per minute. Users can name any number of accounts, and STS
 * counts the failed calls for their roles too.
 */
const identityBudget = { burst: 50, refillMs: 2_000 };

/** A call that waits or is in flight. */
export interface QueuedCall<T> {
  readonly result: Promise<T>;
  /** Adds another namespace that waits for the call, so that it also takes a place in that namespace's queue. */
  addNamespace(namespace: string): void;
}

/**
 * Runs calls in a queue for each {@link EndpointTrust}; for identities of which users can cause any number, in a queue for each
 * proven region. Calls are never canceled.
 */
export class CallQueue {
  readonly #proven = pLimit(concurrency.proven);
  readonly #claimed = new FairQueue({ concurrency: concurrency.claimed, ...namespaceLimits });
  readonly #unproven = new FairQueue({ concurrency: concurrency.unproven, ...namespaceLimits });
  /** Service → calls with identities of which users can cause any number. Its endpoint is proven, so there are few. */
  readonly #services = new Map<string, { readonly queue: FairQueue; readonly rate: TokenBucket }>();
  readonly #budgets: NamespaceBudgets;
  readonly #identityBudgets: NamespaceBudgets;
  readonly #monotonicNow: () => number;
  /** Key → completion of the last proven call with that key. */
  readonly #tails = new Map<string, Promise<unknown>>();

  /** @param monotonicNow a monotonic clock, in ms */
  constructor(monotonicNow: () => number) {
    this.#monotonicNow = monotonicNow;
    this.#budgets = new NamespaceBudgets({ ...namespaceBudget, now: monotonicNow });
    this.#identityBudgets = new NamespaceBudgets({ ...identityBudget, now: monotonicNow });
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
   * Queues a call for a proven endpoint with an identity of which users can cause any number.
   * @param namespace the namespace that needs the token; its queue and its rate are limited
   * @param service what has a rate limit of its own: usually ECR in one region
   * @param serializeBy calls with the same key run one after the other
   * @returns undefined if the namespace has reached its limits
   */
  addUnbounded<T>(
    namespace: string,
    service: string,
    serializeBy: string,
    call: () => Promise<T>,
  ): QueuedCall<T> | undefined {
    return addFairly(this.#getService(service).queue, this.#identityBudgets, namespace, serializeBy, call);
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
    return addFairly(queue, this.#budgets, namespace, serializeBy, call);
  }

  /** Adapts the rate of {@link addUnbounded} to the outcome of a call for the service. */
  adaptRate(service: string, isThrottled: boolean): void {
    const rate = this.#services.get(service)?.rate;
    if (isThrottled) {
      rate?.slowDown();
    } else {
      rate?.speedUp();
    }
  }

  #getService(service: string): { readonly queue: FairQueue; readonly rate: TokenBucket } {
    const known = this.#services.get(service);
    if (known !== undefined) {
      return known;
    }
    const rate = new TokenBucket({ ...regionRate, now: this.#monotonicNow });
    const created = { queue: new FairQueue({ ...regionLimits, rate }), rate };
    this.#services.set(service, created);
    return created;
  }
}

/** @returns undefined if the namespace has no room in the queue or has spent its budget */
function addFairly<T>(
  queue: FairQueue,
  budgets: NamespaceBudgets,
  namespace: string,
  serializeBy: string,
  call: () => Promise<T>,
): QueuedCall<T> | undefined {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const job = new Job(serializeBy, () => call().then(resolve, reject));
  const admit = (one: string) => queue.hasRoom(one) && budgets.trySpend(one) && queue.add(one, job);
  return admit(namespace)
    ? { result: promise, addNamespace: (other) => void (job.started || admit(other)) }
    : undefined;
}
