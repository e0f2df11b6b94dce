// Counts the pods that use each host of a pull Secret, and finds pods that lack the reference to it.
import { getPodRegistries } from '../ecr/pod-images.ts';
import { type DecisionRules, decideOnPod } from '../injection/decision.ts';
import { hasReference } from '../injection/patch.ts';
import type { ClusterConfig } from '../kube/client.ts';
import { listPendingPods, listPods, listRunningPods } from '../kube/pods.ts';
import { getField, toText } from '../util/json.ts';
import { type Gap, readOptional } from './read-gaps.ts';
import type { SurveyScope } from './secret-survey.ts';

/** The pods of one namespace that would get the reference now, and do not have it. */
export interface UninjectedPodNames {
  readonly count: number;
  /** The names of the first ones. */
  readonly names: readonly string[];
  /** Hosts of these pods, at most {@link maxHostsPerNamespace}. */
  readonly hosts: ReadonlySet<string>;
}

export interface PodUsage {
  /** Number of pending and running pods that use a host through the reference; undefined: the pods could not be listed. */
  count(namespace: string, host: string): number | undefined;
  readonly uninjected: ReadonlyMap<string, UninjectedPodNames>;
  /** Whether all pods were counted. There may be more than can be listed in time. */
  readonly isComplete: boolean;
}

/** The upper bound of `secrets.maxHosts`. */
const maxHostsPerNamespace = 250;
/** Maximum number of pods without a reference that are named, of one namespace and in all. */
const maxNames = { perNamespace: 20, all: 10_000 };
/** Maximum number of counts. */
const maxCounts = 200_000;

/** What a pod does with registries. Keeps nothing of a pod but names. */
class PodUsageCollector {
  readonly #rules: DecisionRules;
  readonly #collectsUninjected: (namespace: string) => boolean;
  readonly #counts = new Map<string, Map<string, number>>();
  readonly #uninjected = new Map<string, { count: number; names: string[]; hosts: Set<string> }>();
  #countCount = 0;
  #nameCount = 0;

  constructor(rules: DecisionRules, collectsUninjected: (namespace: string) => boolean) {
    this.#rules = rules;
    this.#collectsUninjected = collectsUninjected;
  }

  /** @param pod as the API server sent it */
  add(pod: unknown): void {
    const metadata = getField(pod, 'metadata');
    const namespace = getField(metadata, 'namespace');
    if (typeof namespace !== 'string' || getField(metadata, 'deletionTimestamp') !== undefined) {
      return;
    }
    if (hasReference(pod, this.#rules.reference)) {
      for (const { host } of getPodRegistries(pod, this.#rules.resolveRegistry)) {
        this.#count(namespace, host);
      }
      return;
    }
    if (!this.#collectsUninjected(namespace)) {
      return;
    }
    const decision = decideOnPod(pod, namespace, this.#rules);
    if (decision.action === 'ensure' && decision.patch !== undefined) {
      const hosts = decision.registries.map(({ host }) => host);
      this.#addUninjected(namespace, toText(getField(metadata, 'name')), hosts);
    }
  }

  count(namespace: string, host: string): number {
    return this.#counts.get(namespace)?.get(host) ?? 0;
  }

  get uninjected(): ReadonlyMap<string, UninjectedPodNames> {
    return this.#uninjected;
  }

  #count(namespace: string, host: string): void {
    const counts = this.#counts.get(namespace) ?? new Map<string, number>();
    const known = counts.get(host);
    if (known === undefined && (this.#countCount >= maxCounts || counts.size >= maxHostsPerNamespace)) {
      return;
    }
    this.#countCount += known === undefined ? 1 : 0;
    this.#counts.set(namespace, counts.set(host, (known ?? 0) + 1));
  }

  #addUninjected(namespace: string, name: string, hosts: readonly string[]): void {
    const found = this.#uninjected.get(namespace) ?? { count: 0, names: [], hosts: new Set<string>() };
    this.#uninjected.set(namespace, found);
    found.count += 1;
    if (found.names.length < maxNames.perNamespace && this.#nameCount < maxNames.all) {
      this.#nameCount += 1;
      found.names.push(name);
    }
    for (const host of hosts) {
      if (found.hosts.size < maxHostsPerNamespace) {
        found.hosts.add(host);
      }
    }
  }
}

export interface PodUsageOptions {
  readonly rules: DecisionRules;
  readonly scope: SurveyScope;
  /** Whether pods of a namespace that lack the reference are collected. */
  collectsUninjected(namespace: string): boolean;
}

/**
 * Lists pending and running pods, and counts what they use.
 * @param gaps receives why pods could not be listed
 */
export async function readPodUsage(
  cluster: ClusterConfig,
  { rules, scope: { names, includes }, collectsUninjected }: PodUsageOptions,
  gaps: Gap[],
  signal: AbortSignal,
): Promise<PodUsage> {
  const collector = new PodUsageCollector(rules, collectsUninjected);
  const add = (pod: unknown) => {
    const namespace = getField(getField(pod, 'metadata'), 'namespace');
    if (typeof namespace === 'string' && includes(namespace)) {
      collector.add(pod);
    }
  };
  const onPage = (pods: readonly unknown[]) => pods.forEach(add);
  const listAllPods = async () => {
    await listPendingPods(cluster, onPage, signal);
    return await listRunningPods(cluster, onPage, signal);
  };
  const listByNamespace = async (namespaces: readonly string[]) => {
    for (const namespace of namespaces) {
      await listPods(cluster, namespace, add);
    }
    return true;
  };
  const isComplete = await readOptional('list pods', gaps, () =>
    names === undefined ? listAllPods() : listByNamespace(names),
  );
  return {
    count: (namespace, host) => (isComplete === undefined ? undefined : collector.count(namespace, host)),
    uninjected: collector.uninjected,
    isComplete: isComplete ?? false,
  };
}
