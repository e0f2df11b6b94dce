// Finds out which hosts the pods of a namespace name, without listing pods more often than necessary.
import { LRUCache } from 'lru-cache';
import pLimit from 'p-limit';
import { imagesOfPod } from '../ecr/pod-images.ts';
import { hostOfImage, parseEcrHost } from '../ecr/registry.ts';
import { KubeError } from '../kube/errors.ts';
import type { Log } from '../telemetry/log.ts';
import { field, items } from '../util/json.ts';

/** ECR hosts that the pods of a namespace name, each with the name of one such pod. */
export type HostsInUse = ReadonlyMap<string, string>;

/** Hosts of one namespace's pods. A Secret holds 250; beyond this nobody is told which of them are in use. */
const maxHosts = 10_000;

/** What the pods of a namespace say about hosts. */
export interface PodHosts {
  readonly hosts: HostsInUse;
  /** Hosts of pods that refer to the pull Secret. */
  readonly referring: ReadonlySet<string>;
}

export interface HostCollector extends PodHosts {
  /** @throws KubeError `unknown` where there are too many hosts */
  add(pod: unknown): void;
}

/**
 * Collects the hosts of pods.
 * @param secretName the pull Secret's name; none: no pod refers to it
 */
export function hostCollector(secretName?: string): HostCollector {
  const hosts = new Map<string, string>();
  const referring = new Set<string>();
  const addHost = (host: string, name: string, refers: boolean) => {
    if (hosts.has(host) ? !refers || referring.has(host) : parseEcrHost(host) === undefined) {
      return;
    }
    if (hosts.size >= maxHosts) {
      const operation = 'find out which hosts pods use';
      throw new KubeError({ code: 'unknown', operation, detail: `more than ${maxHosts} hosts` });
    }
    // a copy: a part of a text keeps all of it in memory, and an image name may have a megabyte
    const copy = Buffer.from(host).toString();
    hosts.set(copy, hosts.get(copy) ?? name);
    if (refers) {
      referring.add(copy);
    }
  };
  const add = (pod: unknown) => {
    const named = field(field(pod, 'metadata'), 'name');
    const name = typeof named === 'string' ? named : '';
    const refers = secretName !== undefined && refersTo(pod, secretName);
    for (const image of imagesOfPod(pod)) {
      const host = hostOfImage(image);
      if (host !== undefined) {
        addHost(host, name, refers);
      }
    }
  };
  return { hosts, referring, add };
}

function refersTo(pod: unknown, secretName: string): boolean {
  const references = items(field(field(pod, 'spec'), 'imagePullSecrets'));
  return references.some((reference) => field(reference, 'name') === secretName);
}

export interface PodsInUseParts {
  /** Passes each pod of a namespace that has not ended to `onPod`. Rejects with KubeError. */
  list(namespace: string, onPod: (pod: unknown) => void): Promise<void>;
  /** The pull Secret's name; none: no pod refers to it. */
  readonly secretName?: string;
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

interface Answer extends PodHosts {
  /** When the list began, ms of the monotonic clock: pods that are stored later are not in it. */
  readonly at: number;
}

/** Which hosts the pods of a namespace name. */
export class PodsInUse {
  readonly #parts: PodsInUseParts;
  readonly #limit = pLimit(concurrency);
  readonly #inFlight = new Map<string, Promise<Answer | undefined>>();
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
    return (await this.reportOf(namespace))?.hosts;
  }

  /** As {@link hostsOf}, and which of these hosts are named by pods that refer to the pull Secret. */
  async reportOf(namespace: string): Promise<PodHosts | undefined> {
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

  #recent(namespace: string): Answer | undefined {
    const answer = this.#answers.get(namespace);
    return answer !== undefined && this.#parts.steady() - answer.at <= reuseMs ? answer : undefined;
  }

  #hasRested(namespace: string): boolean {
    return this.#parts.steady() >= (this.#rests.get(namespace)?.until ?? Number.NEGATIVE_INFINITY);
  }

  async #list(namespace: string): Promise<Answer | undefined> {
    const { list, steady, secretName } = this.#parts;
    const at = steady();
    let restMs = 0;
    let forbidden = false;
    const { hosts, referring, add } = hostCollector(secretName);
    try {
      await list(namespace, add);
      const answer = { at, hosts, referring };
      this.#answers.set(namespace, answer);
      return answer;
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
