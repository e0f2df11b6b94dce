// Finds out which hosts the pods of a namespace name, without listing pods more often than necessary.
import { LRUCache } from 'lru-cache';
import pLimit from 'p-limit';
import { getPodImages } from '../ecr/pod-images.ts';
import { getImageHost, type RegistryResolver } from '../ecr/registry.ts';
import { KubeError } from '../kube/errors.ts';
import type { Log } from '../telemetry/log.ts';
import { getField, getItems } from '../util/json.ts';

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
export function createHostCollector(resolveRegistry: RegistryResolver, secretName?: string): HostCollector {
  const hosts = new Map<string, string>();
  const referring = new Set<string>();
  const addHost = (host: string, name: string, isReferring: boolean) => {
    if (hosts.has(host) ? !isReferring || referring.has(host) : resolveRegistry(host) === undefined) {
      return;
    }
    if (hosts.size >= maxHosts) {
      const operation = 'find out which hosts pods use';
      throw new KubeError({ code: 'unknown', operation, detail: `more than ${maxHosts} hosts` });
    }
    // a copy: a part of a text keeps all of it in memory, and an image name may have a megabyte
    const hostCopy = Buffer.from(host).toString();
    hosts.set(hostCopy, hosts.get(hostCopy) ?? name);
    if (isReferring) {
      referring.add(hostCopy);
    }
  };
  const add = (pod: unknown) => {
    const metadataName = getField(getField(pod, 'metadata'), 'name');
    const name = typeof metadataName === 'string' ? metadataName : '';
    const isReferring = secretName !== undefined && refersToSecret(pod, secretName);
    for (const image of getPodImages(pod)) {
      const host = getImageHost(image);
      if (host !== undefined) {
        addHost(host, name, isReferring);
      }
    }
  };
  return { hosts, referring, add };
}

function refersToSecret(pod: unknown, secretName: string): boolean {
  const references = getItems(getField(getField(pod, 'spec'), 'imagePullSecrets'));
  return references.some((reference) => getField(reference, 'name') === secretName);
}

export interface PodsInUseDependencies {
  /** Passes each pod of a namespace that has not ended to `onPod`. Rejects with KubeError. */
  list(namespace: string, onPod: (pod: unknown) => void): Promise<void>;
  readonly resolveRegistry: RegistryResolver;
  /** The pull Secret's name; none: no pod refers to it. */
  readonly secretName?: string;
  /** A monotonic clock in ms. */
  monotonicNow(): number;
  readonly log: Log;
}

/** Lists of different namespaces that run at the same time. */
const concurrency = 2;
/** Lists that wait for their turn; a namespace that comes when there are more gets no answer. */
const maxQueued = 50;
/** The pods of a namespace are not listed more often than this, ms: who fills a Secret must not make us list for ever. */
const minIntervalMs = 5_000;
/** After a list that took long, the next one waits this many times as long, so that no namespace occupies the turns. */
const intervalFactor = 5;
/** An answer that is not older than this, ms, serves others, too. */
const maxReuseAgeMs = 2_000;
/** How long a missing right is remembered, ms. */
const forbiddenCooldownMs = 300_000;
/** Namespaces of which it is remembered when they may be listed again, and those whose answer is kept for reuse. */
const maxNamespaces = { remembered: 1_000, kept: 8 };

interface Cooldown {
  /** When the pods may be listed again, ms of the monotonic clock. */
  readonly until: number;
  readonly forbidden: boolean;
}

interface ListResult extends PodHosts {
  /** When the list began, ms of the monotonic clock: pods that are stored later are not in it. */
  readonly startedAt: number;
}

/** Which hosts the pods of a namespace name. */
export class PodsInUse {
  readonly #dependencies: PodsInUseDependencies;
  readonly #limit = pLimit(concurrency);
  readonly #inFlight = new Map<string, Promise<ListResult | undefined>>();
  readonly #cooldowns = new LRUCache<string, Cooldown>({ max: maxNamespaces.remembered });
  readonly #results = new LRUCache<string, ListResult>({ max: maxNamespaces.kept });
  #forbiddenLogged = false;

  constructor(parts: PodsInUseDependencies) {
    this.#dependencies = parts;
  }

  /** Whether {@link listHosts} would answer now, as far as that is known. */
  canList(namespace: string): boolean {
    return (
      this.#inFlight.has(namespace) ||
      this.#recentResult(namespace) !== undefined ||
      this.#hasCooledDown(namespace)
    );
  }

  /** Whether the program lacks the right to list the pods of a namespace, as far as that is known. */
  isForbidden(namespace: string): boolean {
    return this.#cooldowns.get(namespace)?.forbidden === true;
  }

  /** The hosts that pods name. Undefined where that cannot be known now: no right, a failure, or asked too often. */
  async listHosts(namespace: string): Promise<HostsInUse | undefined> {
    return (await this.listPodHosts(namespace))?.hosts;
  }

  /** As {@link listHosts}, and which of these hosts are named by pods that refer to the pull Secret. */
  async listPodHosts(namespace: string): Promise<PodHosts | undefined> {
    const pending = this.#inFlight.get(namespace) ?? this.#recentResult(namespace);
    if (pending !== undefined) {
      return await pending;
    }
    if (!this.#hasCooledDown(namespace) || this.#limit.pendingCount >= maxQueued) {
      return undefined;
    }
    const result = this.#limit(() => this.#list(namespace)).finally(() => this.#inFlight.delete(namespace));
    this.#inFlight.set(namespace, result);
    return await result;
  }

  #recentResult(namespace: string): ListResult | undefined {
    const result = this.#results.get(namespace);
    return result !== undefined && this.#dependencies.monotonicNow() - result.startedAt <= maxReuseAgeMs
      ? result
      : undefined;
  }

  #hasCooledDown(namespace: string): boolean {
    return (
      this.#dependencies.monotonicNow() >= (this.#cooldowns.get(namespace)?.until ?? Number.NEGATIVE_INFINITY)
    );
  }

  async #list(namespace: string): Promise<ListResult | undefined> {
    const { list, monotonicNow, resolveRegistry, secretName } = this.#dependencies;
    const startedAt = monotonicNow();
    let cooldownMs = 0;
    let forbidden = false;
    const { hosts, referring, add } = createHostCollector(resolveRegistry, secretName);
    try {
      await list(namespace, add);
      const result = { startedAt, hosts, referring };
      this.#results.set(namespace, result);
      return result;
    } catch (error) {
      forbidden = error instanceof KubeError && error.code === 'forbidden';
      cooldownMs = forbidden ? forbiddenCooldownMs : 0;
      this.#logFailure(namespace, error, forbidden);
      return undefined;
    } finally {
      const now = monotonicNow();
      const until = Math.max(
        startedAt + minIntervalMs,
        now + intervalFactor * (now - startedAt),
        now + cooldownMs,
      );
      this.#cooldowns.set(namespace, { until, forbidden });
    }
  }

  #logFailure(namespace: string, error: unknown, forbidden: boolean): void {
    if (!forbidden) {
      this.#dependencies.log.warn(
        { namespace, err: error },
        'failed to list pods; no hosts are dropped from the pull Secret',
      );
    } else if (!this.#forbiddenLogged) {
      this.#forbiddenLogged = true;
      this.#dependencies.log.warn(
        { namespace, err: error },
        'no right to list pods; full pull Secrets stay full until an operator runs remove-host',
      );
    }
  }
}
