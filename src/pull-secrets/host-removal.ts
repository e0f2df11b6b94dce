// Takes hosts out of a Secret that never received a token.

import { LRUCache } from 'lru-cache';
import type { Registry } from '../ecr/registry.ts';
import { changeSecret, type WriteParts } from './apply.ts';
import type { HostsInUse, PodsInUse } from './hosts-in-use.ts';
import {
  type Content,
  type Droppable,
  droppableHosts,
  forgettableHosts,
  mergeContent,
  withoutHosts,
} from './merge.ts';
import { type MissingHosts, settleMs } from './missing-hosts.ts';

export interface ForgetParts extends WriteParts {
  readonly pods: PodsInUse;
  readonly keeps: Room['keeps'];
  /** How long a host may wait for its first token, in ms. */
  readonly forgetAfterMs: number;
}

/**
 * Takes the hosts out of a namespace's Secret that have waited for too long and that no pod names. A Secret of an older
 * version, which does not say since when its hosts wait, says so afterwards. A Secret that somebody else has changed is
 * left for renewal to restore first.
 * @throws ForeignSecretError or KubeError
 */
export async function forgetHosts(namespace: string, parts: ForgetParts): Promise<void> {
  const { rules, pods, keeps, forgetAfterMs } = parts;
  await changeSecret(
    namespace,
    async (present, state) => {
      if (state !== 'intact') {
        return undefined;
      }
      const { content } = mergeContent(present, new Map(), rules);
      // the pods are listed after the Secret was read: a pod that came between them is in the list, or will request
      const inUse = await pods.hostsOf(namespace);
      const isKept = keeps(namespace, inUse);
      const dropped = forgettableHosts(content, forgetAfterMs, { isKept, now: rules.now() });
      return { content: withoutHosts(content, new Set(dropped)), dropped, reason: 'forgotten' as const };
    },
    parts,
  );
}

export interface RoomParts {
  readonly pods: PodsInUse;
  readonly missing: MissingHosts;
  /** Whether the operator configured the host (`provisioning.registries`): it never leaves a Secret. */
  isConfigured(host: string): boolean;
  /** The wall clock in ms. */
  now(): number;
  /** A monotonic clock in ms. */
  steady(): number;
}

/** Namespaces in which pods have lately requested hosts that were not fresh, and such hosts; more are not remembered. */
const maxNamespaces = 1_000;
const maxHostsPerNamespace = 500;

/** Room in the Secrets of all namespaces. */
export class Room {
  readonly #parts: RoomParts;
  /** Namespace → host → when a pod requested it last, ms of the monotonic clock. */
  readonly #requested = new LRUCache<string, Map<string, number>>({ max: maxNamespaces });

  constructor(parts: RoomParts) {
    this.#parts = parts;
  }

  /** A pod that is being created requests these: they stay until it can have been stored. */
  requested(namespace: string, registries: readonly Registry[]): void {
    const now = this.#parts.steady();
    const before = this.#requested.get(namespace) ?? [];
    const lately = new Map([...before].filter(([, at]) => now - at < settleMs));
    for (const { host } of registries.slice(0, Math.max(0, maxHostsPerNamespace - lately.size))) {
      lately.set(host, now);
    }
    this.#requested.set(namespace, lately);
  }

  /** Whether it is worthwhile to try and make room; if not, the pods were listed a moment ago, or may not be listed. */
  mayTry(namespace: string): boolean {
    return this.#parts.pods.mayAsk(namespace);
  }

  /** The hosts that may leave a Secret so that others have room; none where the pods cannot be listed. */
  async droppable(namespace: string, present: Content): Promise<readonly Droppable[]> {
    const inUse = await this.#parts.pods.hostsOf(namespace);
    const isKept = this.keeps(namespace, inUse);
    return droppableHosts(present, { isKept, now: this.#parts.now() });
  }

  /** Tells which hosts have to stay in a namespace's Secret. */
  keeps(namespace: string, inUse: HostsInUse | undefined): (host: string) => boolean {
    const { isConfigured, steady } = this.#parts;
    const lately = this.#requested.get(namespace);
    const isNew = (host: string) => steady() - (lately?.get(host) ?? Number.NEGATIVE_INFINITY) < settleMs;
    return (host) => inUse === undefined || inUse.has(host) || isNew(host) || isConfigured(host);
  }

  /** These found no room: they are added when there is some, as long as a pod names them. */
  refused(namespace: string, hosts: readonly string[]): void {
    this.#parts.missing.note(namespace, hosts, 'refused', this.#parts.steady());
  }

  /** These left the Secret: they are added again if it turns out that a pod names them. */
  dropped(namespace: string, hosts: readonly string[]): void {
    this.#parts.missing.note(namespace, hosts, 'dropped', this.#parts.steady());
  }
}
