// Lists the ECR hosts that the pods of a namespace use, without listing pods more often than necessary.
import { LRUCache } from 'lru-cache';
import pLimit from 'p-limit';
import { getPodImages } from '../ecr/pod-images.ts';
import { getImageHost, type RegistryResolver } from '../ecr/registry.ts';
import { KubeError } from '../kube/errors.ts';
import type { Log } from '../telemetry/log.ts';
import { getField, getItems, toText } from '../util/json.ts';

/** ECR hosts that the pods of a namespace name, each with the name of one such pod. */
export type HostsInUse = ReadonlyMap<string, string>;

/** Maximum number of hosts that are collected for one namespace. A Secret holds 250, so more are not legitimate. */
const maxHosts = 10_000;

/** The hosts that the pods of a namespace name. */
export interface PodHosts {
  readonly hosts: HostsInUse;
  /** Hosts of pods that refer to the pull Secret. */
  readonly referring: ReadonlySet<string>;
}

export interface HostCollector extends PodHosts {
  /** @throws {KubeError} with code `unknown` if there are too many hosts */
  add(pod: unknown): void;
}

/**
 * Creates an empty collector to which pods are added one by one.
 * @param secretName the pull Secret's name, to find the pods that refer to it
 */
export function createHostCollector(resolveRegistry: RegistryResolver, secretName?: string): HostCollector {
  const hosts = new Map<string, string>();
  const referring = new Set<string>();
  const addHost = (host: string, name: string, isReferring: boolean) => {
    if (hosts.has(host) ? !isReferring || referring.has(host) : resolveRegistry(host) === undefined) {
      return;
    }
    if (hosts.size >= maxHosts) {
      const operation = 'list the hosts that pods use';
      throw new KubeError({ code: 'unknown', operation, detail: `more than ${maxHosts} hosts` });
    }
    // A copy, because a substring keeps the whole string in memory, and an image name can have a megabyte.
    const hostCopy = Buffer.from(host).toString();
    hosts.set(hostCopy, hosts.get(hostCopy) ?? name);
    if (isReferring) {
      referring.add(hostCopy);
    }
  };
  const add = (pod: unknown) => {
    const name = toText(getField(getField(pod, 'metadata'), 'name'));
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

export interface PodHostListerDependencies {
  /** Calls `onPod` with each pod of a namespace that has not terminated. Rejects with KubeError. */
  list(namespace: string, onPod: (pod: unknown) => void): Promise<void>;
  readonly resolveRegistry: RegistryResolver;
  /** The pull Secret's name, to find the pods that refer to it. */
  readonly secretName?: string;
  /** A monotonic clock in ms. */
  monotonicNow(): number;
  readonly log: Log;
}

/** Maximum number of namespaces whose pods are listed at the same time. */
const concurrency = 2;
/** Maximum number of namespaces that wait to be listed. With more, the hosts of a namespace are unknown. */
const maxQueued = 50;
/** Minimum time between two lists of a namespace's pods, in ms, so that filling a Secret does not cause endless lists. */
const minIntervalMs = 5_000;
/** After a list, a namespace waits at least this many times the list's duration, so that slow lists do not block others. */
const intervalFactor = 5;
/** A result is reused up to this age, in ms. */
const maxReuseAgeMs = 2_000;
/** How long a missing permission is remembered, in ms. */
const forbiddenCooldownMs = 300_000;
/** Maximum number of namespaces for which a cooldown or a result is kept. */
const maxNamespaces = { cooldowns: 1_000, results: 8 };

interface Cooldown {
  /** When the pods may be listed again, in ms of the monotonic clock. */
  readonly until: number;
  readonly forbidden: boolean;
}

interface ListResult extends PodHosts {
  /** When the list started, in ms of the monotonic clock. It does not contain pods that are stored later. */
  readonly startedAt: number;
}

/** Lists the hosts that the pods of a namespace name. Concurrent calls for a namespace share one list. */
export class PodHostLister {
  readonly #dependencies: PodHostListerDependencies;
  readonly #limit = pLimit(concurrency);
  readonly #inFlight = new Map<string, Promise<ListResult | undefined>>();
  readonly #cooldowns = new LRUCache<string, Cooldown>({ max: maxNamespaces.cooldowns });
  readonly #results = new LRUCache<string, ListResult>({ max: maxNamespaces.results });
  #forbiddenLogged = false;

  constructor(dependencies: PodHostListerDependencies) {
    this.#dependencies = dependencies;
  }

  /** Whether {@link listHosts} is likely to return hosts now. */
  canList(namespace: string): boolean {
    return (
      this.#inFlight.has(namespace) ||
      this.#recentResult(namespace) !== undefined ||
      this.#hasCooledDown(namespace)
    );
  }

  /** Whether the last list failed because the program is not allowed to list the namespace's pods. */
  isForbidden(namespace: string): boolean {
    return this.#cooldowns.get(namespace)?.forbidden === true;
  }

  /**
   * The hosts that pods name, or undefined if they are unknown now: the list is forbidden, failed, or would come too soon after
   * the previous one.
   */
  async listHosts(namespace: string): Promise<HostsInUse | undefined> {
    return (await this.listPodHosts(namespace))?.hosts;
  }

  /** Like {@link listHosts}, and also the hosts of pods that refer to the pull Secret. */
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
        'not allowed to list pods; full pull Secrets stay full until an operator runs remove-host',
      );
    }
  }
}
