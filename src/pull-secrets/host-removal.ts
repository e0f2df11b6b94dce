// Removes hosts from Secrets: those that never received a token, and those that must make room for others.
import { LRUCache } from 'lru-cache';
import type { Registry } from '../ecr/registry.ts';
import { changeSecret, type WriteSecretDependencies } from './apply.ts';
import { findDroppableHosts, findForgettableHosts } from './droppable-hosts.ts';
import type { HostsInUse, PodHostLister } from './hosts-in-use.ts';
import { type DroppableHost, mergeContent, omitHosts, type SecretContent } from './merge.ts';
import { type MissingHosts, podCreationMs } from './missing-hosts.ts';

export interface ForgetHostsDependencies extends WriteSecretDependencies {
  readonly pods: PodHostLister;
  readonly createKeepRule: DropPolicy['createKeepRule'];
  /** How long a host may wait for its first token before it is removed, in ms. */
  readonly forgetAfterMs: number;
}

/**
 * Removes the hosts from a namespace's Secret that have waited too long for their first token and that no pod names, and those
 * that are no longer configured and whose tokens have expired. Records
 * the request time of waiting hosts that have none, because an older version wrote them. Skips a Secret that another writer
 * modified, because renewal has to repair it first.
 * @throws {UnmanagedSecretError} if the Secret is not managed
 * @throws {KubeError} if the API server refuses the write or keeps failing
 */
export async function forgetHosts(namespace: string, dependencies: ForgetHostsDependencies): Promise<void> {
  const { rules, pods, createKeepRule, forgetAfterMs } = dependencies;
  await changeSecret(
    namespace,
    async (current, state) => {
      if (state !== 'intact') {
        return undefined;
      }
      const { content, expired, denied } = mergeContent(namespace, current, new Map(), rules);
      // Pods are listed after the Secret was read, so a pod created in between is in the list or has yet to request its hosts.
      const inUse = await pods.listHosts(namespace);
      const isKept = createKeepRule(namespace, inUse);
      const dropped = findForgettableHosts(content, forgetAfterMs, { isKept, now: rules.now() });
      const reason = 'expired-request' as const;
      return { content: omitHosts(content, new Set(dropped)), dropped, reason, expired, denied };
    },
    dependencies,
  );
}

export interface DropPolicyDependencies {
  readonly pods: PodHostLister;
  readonly missing: MissingHosts;
  /** Whether the operator configured the host (`provisioning.registries`). Such a host is never removed. */
  isConfigured(host: string): boolean;
  /** The wall clock in ms. */
  now(): number;
  /** A monotonic clock in ms. */
  monotonicNow(): number;
}

/** Bounds of the memory of recent requests. */
const maxNamespaces = 1_000;
const maxHostsPerNamespace = 500;

/** Decides which hosts must stay in a Secret, and records those that were refused or removed. */
export class DropPolicy {
  readonly #dependencies: DropPolicyDependencies;
  /** Namespace → host → when a pod last requested it, in ms of the monotonic clock. */
  readonly #recentRequests = new LRUCache<string, Map<string, number>>({ max: maxNamespaces });

  constructor(dependencies: DropPolicyDependencies) {
    this.#dependencies = dependencies;
  }

  /** Records that a pod in creation requests these hosts. They are kept until the pod must have been stored. */
  recordRequested(namespace: string, registries: readonly Registry[]): void {
    const now = this.#dependencies.monotonicNow();
    const previous = this.#recentRequests.get(namespace) ?? [];
    const recent = new Map([...previous].filter(([, at]) => now - at < podCreationMs));
    for (const { host } of registries.slice(0, Math.max(0, maxHostsPerNamespace - recent.size))) {
      recent.set(host, now);
    }
    this.#recentRequests.set(namespace, recent);
  }

  /** Whether trying to make room can help. If not, the pods were listed a moment ago, or the program may not list them. */
  canDrop(namespace: string): boolean {
    return this.#dependencies.pods.canList(namespace);
  }

  /** The hosts that may be removed from a full Secret; none if the pods cannot be listed. */
  async findDroppable(namespace: string, current: SecretContent): Promise<readonly DroppableHost[]> {
    const inUse = await this.#dependencies.pods.listHosts(namespace);
    const isKept = this.createKeepRule(namespace, inUse);
    return findDroppableHosts(current, { isKept, now: this.#dependencies.now() });
  }

  /** Creates a predicate: whether a host must stay in a namespace's Secret. */
  createKeepRule(namespace: string, inUse: HostsInUse | undefined): (host: string) => boolean {
    const { isConfigured, monotonicNow } = this.#dependencies;
    const recent = this.#recentRequests.get(namespace);
    const isRecent = (host: string) =>
      monotonicNow() - (recent?.get(host) ?? Number.NEGATIVE_INFINITY) < podCreationMs;
    return (host) => inUse === undefined || inUse.has(host) || isRecent(host) || isConfigured(host);
  }

  /** Records hosts for which there was no room. They are added when there is room, if a pod still names them. */
  recordRefused(namespace: string, hosts: readonly string[]): void {
    this.#dependencies.missing.record(namespace, hosts, 'refused', this.#dependencies.monotonicNow());
  }

  /** Records hosts that were removed. They are added again if it turns out that a pod names them. */
  recordDropped(namespace: string, hosts: readonly string[]): void {
    this.#dependencies.missing.record(namespace, hosts, 'dropped', this.#dependencies.monotonicNow());
  }
}
