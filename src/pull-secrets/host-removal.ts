// Takes hosts out of a Secret that never received a token.

import { LRUCache } from 'lru-cache';
import type { Registry } from '../ecr/registry.ts';
import { changeSecret, type WriteSecretDependencies } from './apply.ts';
import type { HostsInUse, PodsInUse } from './hosts-in-use.ts';
import {
  type DroppableHost,
  findDroppableHosts,
  findForgettableHosts,
  mergeContent,
  omitHosts,
  type SecretContent,
} from './merge.ts';
import { type MissingHosts, podCreationMs } from './missing-hosts.ts';

export interface ForgetHostsDependencies extends WriteSecretDependencies {
  readonly pods: PodsInUse;
  readonly createKeepRule: DropPolicy['createKeepRule'];
  /** How long a host may wait for its first token, in ms. */
  readonly forgetAfterMs: number;
}

/**
 * Takes the hosts out of a namespace's Secret that have waited for too long and that no pod names. A Secret of an older
 * version, which does not say since when its hosts wait, says so afterwards. A Secret that somebody else has changed is
 * left for renewal to restore first.
 * @throws ForeignSecretError or KubeError
 */
export async function forgetHosts(namespace: string, dependencies: ForgetHostsDependencies): Promise<void> {
  const { rules, pods, createKeepRule, forgetAfterMs } = dependencies;
  await changeSecret(
    namespace,
    async (current, state) => {
      if (state !== 'intact') {
        return undefined;
      }
      const { content } = mergeContent(namespace, current, new Map(), rules);
      // the pods are listed after the Secret was read: a pod that came between them is in the list, or will request
      const inUse = await pods.listHosts(namespace);
      const isKept = createKeepRule(namespace, inUse);
      const dropped = findForgettableHosts(content, forgetAfterMs, { isKept, now: rules.now() });
      return { content: omitHosts(content, new Set(dropped)), dropped, reason: 'forgotten' as const };
    },
    dependencies,
  );
}

export interface DropPolicyDependencies {
  readonly pods: PodsInUse;
  readonly missing: MissingHosts;
  /** Whether the operator configured the host (`provisioning.registries`): it never leaves a Secret. */
  isConfigured(host: string): boolean;
  /** The wall clock in ms. */
  now(): number;
  /** A monotonic clock in ms. */
  monotonicNow(): number;
}

/** Namespaces in which pods have lately requested hosts that were not fresh, and such hosts; more are not remembered. */
const maxNamespaces = 1_000;
const maxHostsPerNamespace = 500;

/** Room in the Secrets of all namespaces. */
export class DropPolicy {
  readonly #dependencies: DropPolicyDependencies;
  /** Namespace → host → when a pod requested it last, ms of the monotonic clock. */
  readonly #recentRequests = new LRUCache<string, Map<string, number>>({ max: maxNamespaces });

  constructor(parts: DropPolicyDependencies) {
    this.#dependencies = parts;
  }

  /** A pod that is being created requests these: they stay until it can have been stored. */
  recordRequested(namespace: string, registries: readonly Registry[]): void {
    const now = this.#dependencies.monotonicNow();
    const previous = this.#recentRequests.get(namespace) ?? [];
    const recent = new Map([...previous].filter(([, at]) => now - at < podCreationMs));
    for (const { host } of registries.slice(0, Math.max(0, maxHostsPerNamespace - recent.size))) {
      recent.set(host, now);
    }
    this.#recentRequests.set(namespace, recent);
  }

  /** Whether it is worthwhile to try and make room; if not, the pods were listed a moment ago, or may not be listed. */
  canDrop(namespace: string): boolean {
    return this.#dependencies.pods.canList(namespace);
  }

  /** The hosts that may leave a Secret so that others have room; none where the pods cannot be listed. */
  async findDroppable(namespace: string, current: SecretContent): Promise<readonly DroppableHost[]> {
    const inUse = await this.#dependencies.pods.listHosts(namespace);
    const isKept = this.createKeepRule(namespace, inUse);
    return findDroppableHosts(current, { isKept, now: this.#dependencies.now() });
  }

  /** Tells which hosts have to stay in a namespace's Secret. */
  createKeepRule(namespace: string, inUse: HostsInUse | undefined): (host: string) => boolean {
    const { isConfigured, monotonicNow } = this.#dependencies;
    const recent = this.#recentRequests.get(namespace);
    const isRecent = (host: string) =>
      monotonicNow() - (recent?.get(host) ?? Number.NEGATIVE_INFINITY) < podCreationMs;
    return (host) => inUse === undefined || inUse.has(host) || isRecent(host) || isConfigured(host);
  }

  /** These found no room: they are added when there is some, as long as a pod names them. */
  recordRefused(namespace: string, hosts: readonly string[]): void {
    this.#dependencies.missing.record(namespace, hosts, 'refused', this.#dependencies.monotonicNow());
  }

  /** These left the Secret: they are added again if it turns out that a pod names them. */
  recordDropped(namespace: string, hosts: readonly string[]): void {
    this.#dependencies.missing.record(namespace, hosts, 'dropped', this.#dependencies.monotonicNow());
  }
}
