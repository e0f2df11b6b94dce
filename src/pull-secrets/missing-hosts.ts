// Remembers hosts that a pod may need although its namespace's Secret does not hold them.
import { type BackoffPolicy, backoffMs } from '../util/backoff.ts';

/** How a host came to be missing. */
export type Missing =
  /** A pod requested it, and the Secret was full. */
  | 'refused'
  /** It left the Secret; a pod that was created in the same moment may name it. */
  | 'dropped';

interface MissingHost {
  readonly why: Missing;
  /** When it was noted first and last, ms of the monotonic clock. */
  readonly first: number;
  readonly last: number;
}

interface MissingOf {
  readonly hosts: Map<string, MissingHost>;
  tries: number;
  /** When to look at the namespace's pods next, ms of the monotonic clock. */
  nextAt: number;
}

/** What a look at the pods of a namespace found out. */
export interface Looked {
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
export const settleMs = 40_000;

/** Between two looks at the pods of a namespace. */
const looks: BackoffPolicy = { firstMs: 5_000, maxMs: 300_000 };
/** Beyond these a host is only reported in the answer to its pod, and is not added later. */
const maxNamespaces = 1_000;
const maxHostsPerNamespace = 200;

/** Hosts that are looked for again, by namespace. Bounded: anyone who creates pods may name any host. */
export class MissingHosts {
  readonly #namespaces = new Map<string, MissingOf>();
  readonly #giveUpMs: number;

  /** @param giveUpMs for how long a host is remembered where nothing can be found out about pods */
  constructor(giveUpMs: number) {
    this.#giveUpMs = giveUpMs;
  }

  note(namespace: string, hosts: readonly string[], why: Missing, now: number): void {
    const known = this.#namespaces.get(namespace);
    if (hosts.length === 0 || (known === undefined && this.#namespaces.size >= maxNamespaces)) {
      return;
    }
    const of = known ?? { hosts: new Map(), tries: 0, nextAt: now + looks.firstMs };
    for (const host of hosts) {
      if (why === 'dropped' && of.hosts.size >= maxHostsPerNamespace) {
        forgetOneRefused(of.hosts);
      }
      if (of.hosts.size < maxHostsPerNamespace || of.hosts.has(host)) {
        of.hosts.set(host, { why, first: of.hosts.get(host)?.first ?? now, last: now });
      }
    }
    of.nextAt = Math.min(of.nextAt, now + looks.firstMs);
    this.#namespaces.set(namespace, of);
  }

  /** Namespaces whose pods are to be looked at now. */
  due(now: number): string[] {
    return [...this.#namespaces].filter(([, { nextAt }]) => nextAt <= now).map(([namespace]) => namespace);
  }

  /** The hosts to add to the Secret of a namespace, as far as is known of its pods. */
  wanted(namespace: string, inUse: Looked['inUse']): string[] {
    const hosts = this.#namespaces.get(namespace)?.hosts ?? [];
    return [...hosts]
      .filter(([host, { why }]) => (inUse === undefined ? why === 'refused' : inUse.has(host)))
      .map(([host]) => host);
  }

  /** Forgets the hosts of a namespace that need no more looks, and schedules the next look at the others. */
  looked(namespace: string, { inUse, stored, now, random }: Looked): void {
    const of = this.#namespaces.get(namespace);
    if (of === undefined) {
      return;
    }
    for (const [host, { first, last }] of of.hosts) {
      const isStored = stored?.has(host) === true;
      // a pod that was on its way when the host was noted is stored by now
      const isUnused = inUse !== undefined && !inUse.has(host) && now - last >= settleMs;
      const isHopeless = inUse === undefined && now - first >= this.#giveUpMs;
      if (isStored || isUnused || isHopeless) {
        of.hosts.delete(host);
      }
    }
    of.tries += 1;
    of.nextAt = now + backoffMs(looks, of.tries, random);
    if (of.hosts.size === 0) {
      this.#namespaces.delete(namespace);
    }
  }

  /** How many namespaces have a host that found no room. */
  get full(): number {
    return [...this.#namespaces.values()].filter(({ hosts }) =>
      [...hosts.values()].some(({ why }) => why === 'refused'),
    ).length;
  }
}

/** A pod may need a host that was dropped; the pod of one that was refused has received a warning. */
function forgetOneRefused(hosts: Map<string, MissingHost>): void {
  for (const [host, { why }] of hosts) {
    if (why === 'refused') {
      hosts.delete(host);
      return;
    }
  }
}
