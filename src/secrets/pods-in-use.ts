// Finds out which hosts the pods of a namespace name, without listing pods more often than necessary.
import { LRUCache } from 'lru-cache';
import pLimit from 'p-limit';
import { imagesOfPod } from '../images/pod.ts';
import { hostOfImage, parseEcrHost } from '../images/registry.ts';
import { field } from '../images/unvalidated.ts';
import { KubeError } from '../kube/errors.ts';
import type { Log } from '../telemetry/log.ts';

/** ECR hosts that the pods of a namespace name, each with the name of one such pod. */
export type HostsInUse = ReadonlyMap<string, string>;

/** Hosts of one namespace's pods. A Secret holds 250; beyond this nobody is told which of them are in use. */
const maxHosts = 10_000;

/** Collects the hosts of pods; `add` throws KubeError `unknown` where there are too many. */
export function hostCollector(): { readonly hosts: HostsInUse; add(pod: unknown): void } {
  const hosts = new Map<string, string>();
  const add = (pod: unknown) => {
    const named = field(field(pod, 'metadata'), 'name');
    const name = typeof named === 'string' ? named : '';
    for (const image of imagesOfPod(pod)) {
      const host = hostOfImage(image);
      if (host === undefined || hosts.has(host) || parseEcrHost(host) === undefined) {
        continue;
      }
      if (hosts.size >= maxHosts) {
        const operation = 'find out which hosts pods use';
        throw new KubeError({ code: 'unknown', operation, detail: `more than ${maxHosts} hosts` });
      }
      // a copy: a part of a text keeps all of it in memory, and an image name may have a megabyte
      hosts.set(Buffer.from(host).toString(), name);
    }
  };
  return { hosts, add };
}

export interface PodsInUseParts {
  /** Passes each pod of a namespace that has not ended to `onPod`. Rejects with KubeError. */
  list(namespace: string, onPod: (pod: unknown) => void): Promise<void>;
  /** A monotonic clock in ms. */
  steady(): number;
  readonly log: Log;
}

/** Lists of different namespaces that run at the same time. */
const concurrency = 2;
/** Lists that wait for their turn; a namespace that comes when there are more gets no answer. */
const maxWaiting = 50;
/** The pods of a namespace are not listed more often than this, ms: who fills a Secret must not make us list for ever. */
const gapMs = 5_000;
/** After a list that took long, the next one waits this many times as long, so that no namespace occupies the turns. */
const gapFactor = 5;
/** An answer that is not older than this, ms, serves others, too. */
const reuseMs = 2_000;
/** How long a missing right is remembered, ms. */
const forbiddenMs = 300_000;
/** Namespaces of which it is remembered when they may be listed again, and those whose answer is kept for reuse. */
const maxNamespaces = { remembered: 1_000, kept: 8 };

interface Rest {
  /** When the pods may be listed again, ms of the monotonic clock. */
  readonly until: number;
  readonly forbidden: boolean;
}

interface Answer {
  /** When the list began, ms of the monotonic clock: pods that are stored later are not in it. */
  readonly at: number;
  readonly hosts: HostsInUse;
}

/** Which hosts the pods of a namespace name. */
export class PodsInUse {
  readonly #parts: PodsInUseParts;
  readonly #limit = pLimit(concurrency);
  readonly #inFlight = new Map<string, Promise<HostsInUse | undefined>>();
  readonly #rests = new LRUCache<string, Rest>({ max: maxNamespaces.remembered });
  readonly #answers = new LRUCache<string, Answer>({ max: maxNamespaces.kept });
  #forbiddenLogged = false;

  constructor(parts: PodsInUseParts) {
    this.#parts = parts;
  }

  /** Whether {@link hostsOf} would answer now, as far as that is known. */
  mayAsk(namespace: string): boolean {
    return (
      this.#inFlight.has(namespace) || this.#recent(namespace) !== undefined || this.#hasRested(namespace)
    );
  }

  /** Whether the program lacks the right to list the pods of a namespace, as far as that is known. */
  isForbidden(namespace: string): boolean {
    return this.#rests.get(namespace)?.forbidden === true;
  }

  /** The hosts that pods name. Undefined where that cannot be known now: no right, a failure, or asked too often. */
  async hostsOf(namespace: string): Promise<HostsInUse | undefined> {
    const known = this.#inFlight.get(namespace) ?? this.#recent(namespace);
    if (known !== undefined) {
      return await known;
    }
    if (!this.#hasRested(namespace) || this.#limit.pendingCount >= maxWaiting) {
      return undefined;
    }
    const listed = this.#limit(() => this.#list(namespace)).finally(() => this.#inFlight.delete(namespace));
    this.#inFlight.set(namespace, listed);
    return await listed;
  }

  #recent(namespace: string): HostsInUse | undefined {
    const answer = this.#answers.get(namespace);
    return answer !== undefined && this.#parts.steady() - answer.at <= reuseMs ? answer.hosts : undefined;
  }

  #hasRested(namespace: string): boolean {
    return this.#parts.steady() >= (this.#rests.get(namespace)?.until ?? Number.NEGATIVE_INFINITY);
  }

  async #list(namespace: string): Promise<HostsInUse | undefined> {
    const { list, steady } = this.#parts;
    const at = steady();
    let restMs = 0;
    let forbidden = false;
    const { hosts, add } = hostCollector();
    try {
      await list(namespace, add);
      this.#answers.set(namespace, { at, hosts });
      return hosts;
    } catch (error) {
      forbidden = error instanceof KubeError && error.code === 'forbidden';
      restMs = forbidden ? forbiddenMs : 0;
      this.#logFailure(namespace, error, forbidden);
      return undefined;
    } finally {
      const now = steady();
      const until = Math.max(at + gapMs, now + gapFactor * (now - at), now + restMs);
      this.#rests.set(namespace, { until, forbidden });
    }
  }

  #logFailure(namespace: string, error: unknown, forbidden: boolean): void {
    if (!forbidden) {
      this.#parts.log.warn(
        { namespace, err: error },
        'failed to list pods; no hosts are dropped from the pull Secret',
      );
    } else if (!this.#forbiddenLogged) {
      this.#forbiddenLogged = true;
      this.#parts.log.warn(
        { namespace, err: error },
        'no right to list pods; full pull Secrets stay full until an operator runs remove-host',
      );
    }
  }
}
