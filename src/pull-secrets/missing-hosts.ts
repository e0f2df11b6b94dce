// Remembers hosts that a pod may need although its namespace's Secret does not hold them.
import { type BackoffPolicy, tokenRetryMs } from '../util/backoff.ts';

/** How a host came to be missing. */
export type MissingReason =
  /** A pod requested it, and the Secret was full. */
  | 'refused'
  /** It left the Secret; a pod that was created in the same moment may name it. */
  | 'dropped';

interface MissingHost {
  readonly reason: MissingReason;
  /** When it was noted first and last, ms of the monotonic clock. */
  readonly firstRecordedAt: number;
  readonly lastRecordedAt: number;
}

interface NamespaceMissingHosts {
  readonly hosts: Map<string, MissingHost>;
  attempts: number;
  /** When to look at the namespace's pods next, ms of the monotonic clock. */
  nextAt: number;
}

/** What a look at the pods of a namespace found out. */
export interface PodCheckResult {
  /** The hosts that pods name; undefined: that could not be found out. */
  readonly inUse: { has(host: string): boolean } | undefined;
  /** The hosts that the Secret names by now. */
  readonly stored: { has(host: string): boolean } | undefined;
  /** A monotonic clock in ms. */
  readonly now: number;
  /** A number in [0, 1). */
  readonly random: number;
}

/**
 * A pod is stored after it was admitted: within 34 s, which is what the API server grants to a whole request. Until then
 * a list of pods says nothing about the hosts that it names, ms.
 */
export const podCreationMs = 40_000;

/** Between two looks at the pods of a namespace. */
const podCheckBackoff: BackoffPolicy = { firstMs: 5_000, maxMs: 300_000 };
/** Beyond these a host is only reported in the answer to its pod, and is not added later. */
const maxNamespaces = 1_000;
const maxHostsPerNamespace = 200;

/** Hosts that are looked for again, by namespace. Bounded: anyone who creates pods may name any host. */
export class MissingHosts {
  readonly #namespaces = new Map<string, NamespaceMissingHosts>();
  readonly #giveUpMs: number;

  /** @param giveUpMs for how long a host is remembered where nothing can be found out about pods */
  constructor(giveUpMs: number) {
    this.#giveUpMs = giveUpMs;
  }

  record(namespace: string, hosts: readonly string[], reason: MissingReason, now: number): void {
    const existing = this.#namespaces.get(namespace);
    if (hosts.length === 0 || (existing === undefined && this.#namespaces.size >= maxNamespaces)) {
      return;
    }
    const entry = existing ?? { hosts: new Map(), attempts: 0, nextAt: now + podCheckBackoff.firstMs };
    for (const host of hosts) {
      if (reason === 'dropped' && entry.hosts.size >= maxHostsPerNamespace) {
        forgetOneRefused(entry.hosts);
      }
      if (entry.hosts.size < maxHostsPerNamespace || entry.hosts.has(host)) {
        entry.hosts.set(host, {
          reason,
          firstRecordedAt: entry.hosts.get(host)?.first ?? now,
          lastRecordedAt: now,
        });
      }
    }
    entry.nextAt = Math.min(entry.nextAt, now + podCheckBackoff.firstMs);
    this.#namespaces.set(namespace, entry);
  }

  /** Namespaces whose pods are to be looked at now. */
  dueNamespaces(now: number): string[] {
    return [...this.#namespaces].filter(([, { nextAt }]) => nextAt <= now).map(([namespace]) => namespace);
  }

  /** The hosts to add to the Secret of a namespace, as far as is known of its pods. */
  hostsToAdd(namespace: string, inUse: PodCheckResult['inUse']): string[] {
    const hosts = this.#namespaces.get(namespace)?.hosts ?? [];
    return [...hosts]
      .filter(([host, { reason }]) => (inUse === undefined ? reason === 'refused' : inUse.has(host)))
      .map(([host]) => host);
  }

  /** Forgets the hosts of a namespace that need no more looks, and schedules the next look at the others. */
  recordPodCheck(namespace: string, { inUse, stored, now, random }: PodCheckResult): void {
    const entry = this.#namespaces.get(namespace);
    if (entry === undefined) {
      return;
    }
    for (const [host, { firstRecordedAt, lastRecordedAt }] of entry.hosts) {
      const isStored = stored?.has(host) === true;
      // a pod that was on its way when the host was noted is stored by now
      const isUnused = inUse !== undefined && !inUse.has(host) && now - lastRecordedAt >= podCreationMs;
      const isTimedOut = inUse === undefined && now - firstRecordedAt >= this.#giveUpMs;
      if (isStored || isUnused || isTimedOut) {
        entry.hosts.delete(host);
      }
    }
    entry.attempts += 1;
    entry.nextAt = now + tokenRetryMs(podCheckBackoff, entry.attempts, random);
    if (entry.hosts.size === 0) {
      this.#namespaces.delete(namespace);
    }
  }

  /** How many namespaces have a host that found no room. */
  get fullSecretCount(): number {
    return [...this.#namespaces.values()].filter(({ hosts }) =>
      [...hosts.values()].some(({ reason }) => reason === 'refused'),
    ).length;
  }
}

/** A pod may need a host that was dropped; the pod of one that was refused has received a warning. */
function forgetOneRefused(hosts: Map<string, MissingHost>): void {
  for (const [host, { reason }] of hosts) {
    if (reason === 'refused') {
      hosts.delete(host);
      return;
    }
  }
}
