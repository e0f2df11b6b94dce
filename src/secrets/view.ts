import { parseEcrHost } from '../images/registry.ts';
import type { SecretObject } from '../kube/secrets.ts';
import type { SecretMetadata } from '../kube/watch.ts';
import { type HostLives, hostsAnnotation, parseHosts } from './annotation.ts';
import { hasOurLabel } from './ours.ts';

/** What is known of a namespace's Secret of our name. */
export interface KnownSecret {
  readonly resourceVersion: string;
  /** False for a Secret of our name that somebody else made. */
  readonly ours: boolean;
  readonly hosts: HostLives;
}

/**
 * Namespace → hosts → life of the stored token, in memory, for every namespace of the cluster. Fed by the watch with
 * metadata, and by our own writes at once, so that the next pod need not wait for the watch. Holds no token.
 */
export class SecretView {
  readonly #secrets = new Map<string, KnownSecret>();

  get(namespace: string): KnownSecret | undefined {
    return this.#secrets.get(namespace);
  }

  /** Takes a whole list as the truth, but for Secrets of which a later version is known already. */
  replace(items: readonly SecretMetadata[]): void {
    const listed = new Set(items.map((item) => item.namespace));
    for (const namespace of this.#secrets.keys()) {
      if (!listed.has(namespace)) {
        this.#secrets.delete(namespace);
      }
    }
    for (const item of items) {
      this.set(item);
    }
  }

  /** Takes one Secret's metadata, unless a later version of it is known. */
  set({ namespace, resourceVersion, labels, annotations }: SecretMetadata): void {
    const known = this.#secrets.get(namespace);
    if (known !== undefined && !isLater(resourceVersion, known.resourceVersion)) {
      return;
    }
    this.#secrets.set(namespace, {
      resourceVersion,
      ours: hasOurLabel(labels),
      hosts: parseHosts(annotations?.[hostsAnnotation]),
    });
  }

  /** Forgets a deleted Secret, unless a later one has taken its place. */
  remove(namespace: string, resourceVersion: string): void {
    const known = this.#secrets.get(namespace);
    if (known !== undefined && !isLater(known.resourceVersion, resourceVersion)) {
      this.#secrets.delete(namespace);
    }
  }

  /** Takes a Secret as it was read or stored. `ours` also looks at the type, which metadata does not show. */
  learn({ metadata }: SecretObject, ours: boolean): void {
    const { namespace, resourceVersion = '0', annotations } = metadata;
    const known = this.#secrets.get(namespace);
    if (known === undefined || !isLater(known.resourceVersion, resourceVersion)) {
      const hosts = parseHosts(annotations?.[hostsAnnotation]);
      this.#secrets.set(namespace, { resourceVersion, ours, hosts });
    }
  }

  /** The earliest end of a stored token in ms, by region, over all namespaces. */
  earliestEnds(): Map<string, number> {
    const ends = new Map<string, number>();
    for (const { ours, hosts } of this.#secrets.values()) {
      for (const [host, life] of ours ? hosts : []) {
        const region = parseEcrHost(host)?.region;
        if (region !== undefined && life !== undefined) {
          ends.set(region, Math.min(life.expiresAt, ends.get(region) ?? Number.POSITIVE_INFINITY));
        }
      }
    }
    return ends;
  }
}

/** Resource versions are decimal numbers that grow (KEP-5504); of any other kind, the one seen last counts. */
function isLater(version: string, than: string): boolean {
  const comparable = /^[1-9]\d*$/.test(version) && /^[1-9]\d*$/.test(than);
  return !comparable || (version.length === than.length ? version > than : version.length > than.length);
}
