// Keeps the hosts that pods request while their Secret cannot be written, until they are stored or no longer needed. Pure.
import { isPermanent, type UnavailableHost } from './unavailable-host.ts';

/** Times are in ms of a monotonic clock. */
export interface UnstoredHost {
  /** When its first write failed. */
  readonly since: number;
  /** When it was last requested, or a pod was last found to name it. */
  readonly requestedAt: number;
}

/** Why the last write in a namespace failed. */
export interface WriteFailure {
  readonly code: string;
  /** Retrying does not help; the operator has to change something. */
  readonly permanent: boolean;
  /** What happened and what to do; without credentials. */
  readonly message: string;
}

/** The hosts of one namespace. */
export interface NamespaceUnstoredHosts {
  readonly hosts: ReadonlyMap<string, UnstoredHost>;
  readonly failure: WriteFailure;
}

/**
 * Why a host was forgotten although it was not stored.
 * @internal exported for its tests
 */
export type ForgetReason =
  /** There were too many hosts to keep. */
  | 'limit'
  /** Nothing has requested it for `secrets.forgetAfter`. */
  | 'expired'
  /** A rule denies the namespace its tokens. */
  | 'denied';

export interface UnstoredHostsDependencies {
  /** Maximum number of hosts in one namespace's Secret. */
  readonly maxHostsPerNamespace: number;
  /** Maximum number of hosts of all namespaces; {@link defaultMaxHosts} by default. */
  readonly maxHosts?: number;
  /** A monotonic clock in ms. */
  monotonicNow(): number;
  /** Called when hosts that may still be needed are forgotten. */
  onForgotten?(namespace: string, hosts: readonly string[], reason: ForgetReason): void;
}

/** A host takes about 200 bytes of memory, so these take 2 MB. */
const defaultMaxHosts = 10_000;

interface MutableUnstoredHosts {
  readonly hosts: Map<string, UnstoredHost>;
  failure: WriteFailure;
}

/**
 * Unstored hosts by namespace. Bounded, because anyone who creates pods may name any host. At the maximum, the namespace with
 * the most hosts loses its newest one.
 */
export class UnstoredHosts {
  readonly #dependencies: Required<UnstoredHostsDependencies>;
  readonly #namespaces = new Map<string, MutableUnstoredHosts>();
  /** Number of hosts → the namespaces with that many, so that the largest namespace is found without a search. */
  readonly #bySize: Set<string>[] = [];
  #total = 0;
  #changeCount = 0;

  constructor(dependencies: UnstoredHostsDependencies) {
    this.#dependencies = { maxHosts: defaultMaxHosts, onForgotten: () => undefined, ...dependencies };
  }

  /** Number of hosts of all namespaces. */
  get size(): number {
    return this.#total;
  }

  /** Increases whenever the number of hosts of a namespace changes. */
  get changeCount(): number {
    return this.#changeCount;
  }

  byNamespace(): ReadonlyMap<string, NamespaceUnstoredHosts> {
    return this.#namespaces;
  }

  /**
   * Keeps hosts that were requested and whose write failed.
   * @param since when the first write failed, in ms of the monotonic clock; now by default
   */
  add(namespace: string, hosts: readonly string[], failure: WriteFailure, since?: number): void {
    if (hosts.length === 0) {
      return;
    }
    const now = this.#dependencies.monotonicNow();
    const kept = this.#namespaces.get(namespace) ?? { hosts: new Map<string, UnstoredHost>(), failure };
    kept.failure = failure;
    const surplus: string[] = [];
    for (const host of hosts) {
      const existing = kept.hosts.get(host);
      if (existing !== undefined) {
        kept.hosts.set(host, { ...existing, requestedAt: now });
      } else if (this.#hasRoom(namespace, kept.hosts.size)) {
        this.#namespaces.set(namespace, kept);
        this.#updateSize(namespace, kept.hosts.size, kept.hosts.size + 1);
        kept.hosts.set(host, { since: since ?? now, requestedAt: now });
      } else {
        surplus.push(host);
      }
    }
    if (surplus.length > 0) {
      this.#dependencies.onForgotten(namespace, surplus, 'limit');
    }
  }

  /** Records why another write failed, without changing the hosts. */
  recordFailure(namespace: string, failure: WriteFailure): void {
    const kept = this.#namespaces.get(namespace);
    if (kept !== undefined) {
      kept.failure = failure;
    }
  }

  /** Marks kept hosts as requested now, because a pod names them. */
  confirmRequested(namespace: string, inUse: { has(host: string): boolean }): void {
    const hosts = this.#namespaces.get(namespace)?.hosts ?? new Map<string, UnstoredHost>();
    const requestedAt = this.#dependencies.monotonicNow();
    for (const [host, { since }] of hosts) {
      if (inUse.has(host)) {
        hosts.set(host, { since, requestedAt });
      }
    }
  }

  /** Removes hosts that are stored or no longer needed. */
  remove(namespace: string, hosts: Iterable<string>): void {
    const kept = this.#namespaces.get(namespace);
    if (kept === undefined) {
      return;
    }
    const before = kept.hosts.size;
    for (const host of hosts) {
      kept.hosts.delete(host);
    }
    this.#updateSize(namespace, before, kept.hosts.size);
    if (kept.hosts.size === 0) {
      this.#namespaces.delete(namespace);
    }
  }

  /** Forgets hosts that rules deny to their namespaces. */
  removeDenied(isDenied: (namespace: string, host: string) => boolean): void {
    for (const [namespace, { hosts }] of this.#namespaces) {
      const denied = [...hosts.keys()].filter((host) => isDenied(namespace, host));
      if (denied.length > 0) {
        this.remove(namespace, denied);
        this.#dependencies.onForgotten(namespace, denied, 'denied');
      }
    }
  }

  /** Removes all hosts of a namespace that was deleted. */
  forget(namespace: string): void {
    this.remove(namespace, [...(this.#namespaces.get(namespace)?.hosts.keys() ?? [])]);
  }

  /** Forgets hosts that have not been requested for `forgetAfterMs`. */
  expire(forgetAfterMs: number): void {
    const now = this.#dependencies.monotonicNow();
    for (const [namespace, { hosts }] of this.#namespaces) {
      const expired = [...hosts].filter(([, { requestedAt }]) => now - requestedAt >= forgetAfterMs);
      if (expired.length > 0) {
        const names = expired.map(([host]) => host);
        this.remove(namespace, names);
        this.#dependencies.onForgotten(namespace, names, 'expired');
      }
    }
  }

  /** Whether one more host of a namespace may be kept. Makes room for it by evicting a host of the largest namespace. */
  #hasRoom(namespace: string, size: number): boolean {
    const { maxHosts, maxHostsPerNamespace } = this.#dependencies;
    if (size >= maxHostsPerNamespace) {
      return false;
    }
    if (this.#total < maxHosts) {
      return true;
    }
    const largest = this.#findLargest();
    const hosts = largest === undefined ? undefined : this.#namespaces.get(largest)?.hosts;
    // A namespace loses a host only to one that stays smaller, so that two namespaces do not keep evicting each other.
    if (largest === undefined || largest === namespace || hosts === undefined || hosts.size <= size + 1) {
      return false;
    }
    const newest = [...hosts.keys()].slice(-1);
    this.remove(largest, newest);
    this.#dependencies.onForgotten(largest, newest, 'limit');
    return true;
  }

  #findLargest(): string | undefined {
    for (let size = this.#bySize.length - 1; size > 0; size -= 1) {
      for (const namespace of this.#bySize[size] ?? []) {
        return namespace;
      }
    }
    return undefined;
  }

  #updateSize(namespace: string, before: number, after: number): void {
    if (before === after) {
      return;
    }
    this.#bySize[before]?.delete(namespace);
    if (after > 0) {
      this.#bySize[after] ??= new Set();
      this.#bySize[after].add(namespace);
    }
    this.#total += after - before;
    this.#changeCount += 1;
  }
}

/** The reason that is kept for a host whose write failed. */
export function toWriteFailure({ code, text, message }: UnavailableHost): WriteFailure {
  return { code, permanent: isPermanent(code), message: message ?? text };
}
