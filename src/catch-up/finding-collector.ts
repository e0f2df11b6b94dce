// Collects what a round of catch-up finds, in bounded memory.
import { type Registry, type RegistryResolver, resolveRegistries } from '../ecr/registry.ts';
import { examinePod, type PodName, type PodRules, type UninjectedPod } from './pod-findings.ts';

/**
 * Maximum number of pods without a reference that are kept in all and of one namespace. The others are only counted. Above `all`,
 * the first pod of each namespace is kept, so that namespaces that come first in the list cannot hide the others.
 */
const maxPods = { all: 10_000, perNamespace: 500 };

/** Maximum number of hosts that are ensured for one namespace in a round: the upper bound of `secrets.maxHosts`. */
const maxHostsPerNamespace = 250;

/**
 * Maximum number of pods with a failing host that are kept in all and of one namespace: what can get an Event within minutes. Above
 * `all`, the first pod of each namespace is kept, as for pods without a reference.
 */
const maxWaitingPods = { all: 5_000, perNamespace: 200 };

/** Why a host has no valid token. */
export interface TokenFailure {
  /** Retrying does not help; the operator or the tenant has to change something. */
  readonly permanent: boolean;
  readonly message: string;
}

/** A pod that has the reference and waits for the token of a host that fails. */
export interface WaitingPod extends PodName {
  readonly host: string;
  /** Number of further hosts that fail. */
  readonly moreHosts: number;
  readonly failure: TokenFailure;
}

/** Registries of pods that have the reference, by namespace. */
export type NeededTokens = ReadonlyMap<string, readonly Registry[]>;

/**
 * A pod without a reference. A young one is not reported yet, because it may still start without it. Neither is one whose tokens a
 * rule may deny; it counts as young.
 */
export interface FoundPod extends UninjectedPod {
  readonly isYoung: boolean;
}

/** The pods of one namespace that have no reference. */
export interface UninjectedPods {
  /** Number of those that are not young. */
  readonly count: number;
  /** The pods, or the first of them if there are too many to keep. */
  readonly pods: readonly FoundPod[];
}

export interface FindingCollectorDependencies {
  readonly rules: PodRules;
  readonly resolveRegistry: RegistryResolver;
  /** Why a host has no valid token; undefined: not known, or it does not fail for long enough to be reported. */
  findFailure(namespace: string, host: string): TokenFailure | undefined;
  /** Age below which a pod is young, in ms. */
  readonly minimumAgeMs: number;
  /** The wall clock in ms. */
  now(): number;
}

/** What is found in the pages of one list. Keeps nothing of a pod but names. */
export class FindingCollector {
  readonly #dependencies: FindingCollectorDependencies;
  /** Namespace → the hosts that its pods need. */
  readonly #hosts = new Map<string, Set<string>>();
  /** Those of them that have not been taken yet. */
  readonly #newHosts = new Map<string, string[]>();
  readonly #uninjected = new Map<string, { count: number; readonly pods: FoundPod[] }>();
  readonly #waiting = new Map<string, WaitingPod[]>();
  #kept = 0;
  #keptWaiting = 0;

  constructor(dependencies: FindingCollectorDependencies) {
    this.#dependencies = dependencies;
  }

  /** @param pod as the API server sent it */
  add(pod: unknown): void {
    const finding = examinePod(pod, this.#dependencies.rules);
    if (finding?.kind === 'needs-tokens') {
      this.#addHosts(finding.pod.namespace, finding.registries);
      this.#addWaiting(finding.pod, finding.registries);
    } else if (finding?.kind === 'uninjected') {
      this.#addPod(finding.pod, finding.isCertain);
    }
  }

  /** The tokens that pods need, without those that were returned before. */
  takeNeededTokens(): NeededTokens {
    const needed = new Map(
      [...this.#newHosts].map(([namespace, hosts]) => [
        namespace,
        resolveRegistries(hosts, this.#dependencies.resolveRegistry),
      ]),
    );
    this.#newHosts.clear();
    return needed;
  }

  /** The pods without a reference by namespace. */
  uninjected(): ReadonlyMap<string, UninjectedPods> {
    return this.#uninjected;
  }

  /** The pods that wait for the token of a failing host, by namespace. */
  waiting(): ReadonlyMap<string, readonly WaitingPod[]> {
    return this.#waiting;
  }

  #addWaiting(pod: PodName, registries: readonly Registry[]): void {
    const { namespace } = pod;
    const pods = this.#waiting.get(namespace) ?? [];
    if (pods.length >= (this.#keptWaiting < maxWaitingPods.all ? maxWaitingPods.perNamespace : 1)) {
      return;
    }
    const failing = registries.flatMap(({ host }) => {
      const failure = this.#dependencies.findFailure(namespace, host);
      return failure === undefined ? [] : [{ host, failure }];
    });
    const first = failing.find(({ failure }) => failure.permanent) ?? failing[0];
    if (first !== undefined) {
      const moreHosts = failing.length - 1;
      pods.push({ ...pod, host: copyText(first.host), failure: first.failure, moreHosts });
      this.#waiting.set(namespace, pods);
      this.#keptWaiting += 1;
    }
  }

  #addHosts(namespace: string, registries: readonly Registry[]): void {
    const hosts = this.#hosts.get(namespace) ?? new Set<string>();
    this.#hosts.set(namespace, hosts);
    for (const { host } of registries) {
      if (hosts.size < maxHostsPerNamespace && !hosts.has(host)) {
        const copy = copyText(host);
        hosts.add(copy);
        this.#newHosts.set(namespace, [...(this.#newHosts.get(namespace) ?? []), copy]);
      }
    }
  }

  #addPod(pod: UninjectedPod, isCertain: boolean): void {
    const { minimumAgeMs, now } = this.#dependencies;
    const isYoung = !isCertain || now() - pod.createdAt < minimumAgeMs;
    const found = this.#uninjected.get(pod.namespace) ?? { count: 0, pods: [] };
    this.#uninjected.set(pod.namespace, found);
    found.count += isYoung ? 0 : 1;
    const kept = { ...pod, isYoung, hosts: pod.hosts.map(copyText) };
    if (found.pods.length < (this.#kept < maxPods.all ? maxPods.perNamespace : 1)) {
      this.#kept += 1;
      found.pods.push(kept);
    } else {
      replaceIfNewest(found.pods, kept);
    }
  }
}

/**
 * Replaces a pod of the same controller if all of them are older, because the newest pod of a controller shows whether its
 * replacements have the reference.
 */
function replaceIfNewest(pods: FoundPod[], pod: FoundPod): void {
  const { controller, createdAt } = pod;
  if (controller === undefined) {
    return;
  }
  const index = pods.findLastIndex((kept) => kept.controller?.uid === controller.uid);
  const isNewest = pods.every(
    (kept) => kept.controller?.uid !== controller.uid || kept.createdAt < createdAt,
  );
  if (index !== -1 && isNewest) {
    pods[index] = pod;
  }
}

/** Copies a text, because a substring keeps the whole string in memory, and an image name can have a megabyte. */
function copyText(text: string): string {
  return Buffer.from(text).toString();
}
