// Keeps the hosts that a pod may need although its namespace's Secret does not name them. Pure.
import { type BackoffPolicy, backoffMs } from '../util/backoff.ts';

/** How a host came to be missing. */
export type MissingReason =
  /** A pod requested it, and the Secret was full. */
  | 'refused'
  /** It was removed from the Secret, but a pod that was created at the same moment may name it. */
  | 'dropped';

interface MissingHost {
  readonly reason: MissingReason;
  /** When it was first and last recorded, in ms of the monotonic clock. */
  readonly firstRecordedAt: number;
  readonly lastRecordedAt: number;
}

interface NamespaceMissingHosts {
  readonly hosts: Map<string, MissingHost>;
  attempts: number;
  /** When to check the namespace's pods next, in ms of the monotonic clock. */
  nextAt: number;
}

/** The result of checking the pods of a namespace. */
export interface PodCheckResult {
  /** The hosts that pods name, or undefined if they are unknown. */
  readonly inUse: { has(host: string): boolean } | undefined;
  /** The hosts that the Secret names now. */
  readonly stored: { has(host: string): boolean } | undefined;
  /** Whether a rule denies the namespace a host, so that it is not added. */
  isDenied?(host: string): boolean;
  /** A monotonic clock in ms. */
  readonly now: number;
  /** A number in [0, 1). */
  readonly random: number;
}

/**
 * Time after which an admitted pod must have been stored, in ms: the API server allows 34 s for a whole request. Until then, a
 * list of pods may not contain it, so it says nothing about the pod's hosts.
 */
export const podCreationMs = 40_000;

/** The delay between two checks of a namespace's pods. */
const podCheckBackoff: BackoffPolicy = { firstMs: 5_000, maxMs: 300_000 };
/** Beyond these limits, a host is only reported in the admission response for its pod and is not added later. */
const maxNamespaces = 1_000;
const maxHostsPerNamespace = 200;

/** Missing hosts by namespace. Bounded, because anyone who creates pods may name any host. */
export class MissingHosts {
  readonly #namespaces = new Map<string, NamespaceMissingHosts>();
  readonly #giveUpMs: number;

  /** @param giveUpMs how long a host is kept while the hosts of the namespace's pods are unknown, in ms */
  constructor(giveUpMs: number) {
    this.#giveUpMs = giveUpMs;
  }

  record(namespace: string, hosts: readonly string[], reason: MissingReason, now: number): void {
    const existing = this.#namespaces.get(namespace);
    if (hosts.length === 0 || (existing === undefined && this.#namespaces.size >= maxNamespaces)) {
      return;
    }
    const entry: NamespaceMissingHosts = existing ?? {
      hosts: new Map(),
      attempts: 0,
      nextAt: now + podCheckBackoff.firstMs,
    };
    for (const host of hosts) {
      if (reason === 'dropped' && entry.hosts.size >= maxHostsPerNamespace) {
        forgetOneRefused(entry.hosts);
      }
      if (entry.hosts.size < maxHostsPerNamespace || entry.hosts.has(host)) {
        entry.hosts.set(host, {
          reason,
          firstRecordedAt: entry.hosts.get(host)?.firstRecordedAt ?? now,
          lastRecordedAt: now,
        });
      }
    }
    entry.nextAt = Math.min(entry.nextAt, now + podCheckBackoff.firstMs);
    this.#namespaces.set(namespace, entry);
  }

  /** Namespaces whose pods should be checked now. */
  dueNamespaces(now: number): string[] {
    return [...this.#namespaces].filter(([, { nextAt }]) => nextAt <= now).map(([namespace]) => namespace);
  }

  /** The hosts to add to a namespace's Secret. While the hosts of its pods are unknown, those that a pod requested. */
  hostsToAdd(namespace: string, inUse: PodCheckResult['inUse']): string[] {
    const hosts = this.#namespaces.get(namespace)?.hosts ?? [];
    return [...hosts]
      .filter(([host, { reason }]) => (inUse === undefined ? reason === 'refused' : inUse.has(host)))
      .map(([host]) => host);
  }

  /** Forgets the hosts of a namespace that need no more checks, and schedules the next check for the others. */
  recordPodCheck(namespace: string, result: PodCheckResult): void {
    const { inUse, stored, isDenied = () => false, now, random } = result;
    const entry = this.#namespaces.get(namespace);
    if (entry === undefined) {
      return;
    }
    for (const [host, { firstRecordedAt, lastRecordedAt }] of entry.hosts) {
      const isStored = stored?.has(host) === true;
      // A pod that was being created when the host was recorded has been stored by now.
      const isUnused = inUse !== undefined && !inUse.has(host) && now - lastRecordedAt >= podCreationMs;
      const isTimedOut = inUse === undefined && now - firstRecordedAt >= this.#giveUpMs;
      if (isStored || isUnused || isTimedOut || isDenied(host)) {
        entry.hosts.delete(host);
      }
    }
    entry.attempts += 1;
    entry.nextAt = now + backoffMs(podCheckBackoff, entry.attempts, random);
    if (entry.hosts.size === 0) {
      this.#namespaces.delete(namespace);
    }
  }

  /** The number of namespaces with a host for which there was no room. */
  get fullSecretCount(): number {
    return [...this.#namespaces.values()].filter(({ hosts }) =>
      [...hosts.values()].some(({ reason }) => reason === 'refused'),
    ).length;
  }
}

/** Makes room for a dropped host. A refused host matters less, because its pod has received a warning. */
function forgetOneRefused(hosts: Map<string, MissingHost>): void {
  for (const [host, { reason }] of hosts) {
    if (reason === 'refused') {
      hosts.delete(host);
      return;
    }
  }
}
