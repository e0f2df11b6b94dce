import { compareResourceVersions } from '../kube/resource-version.ts';
import type { SecretObject } from '../kube/secrets.ts';
import type { SecretMetadata } from '../kube/watch.ts';
import {
  type HostLives,
  hostsAnnotation,
  maxReadHosts,
  parseHosts,
  parseRequestTimes,
  type RequestTimes,
} from './annotation.ts';
import { tokenExpiries } from './expiries.ts';
import { hasOurLabel, isIntact } from './ours.ts';

/** What is known of a namespace's Secret of our name. */
export interface KnownSecret {
  readonly uid: string;
  readonly resourceVersion: string;
  /** False for a Secret of our name that somebody else made. */
  readonly ours: boolean;
  /** False while content or annotation are not as one of us wrote them: somebody else has changed them since. */
  readonly intact: boolean;
  readonly hosts: HostLives;
  /** Since when hosts without a token have been requested, as far as the annotation says. */
  readonly requestedAt: RequestTimes;
  /** When this version was seen, in ms of a clock that is never set. */
  readonly learnedAt: number;
  /** It has our label and another type, which metadata does not show. A type cannot change while the UID is the same. */
  readonly hasOtherType?: boolean;
}

/** A Secret of ours that somebody deleted. */
export type LostSecret = Pick<KnownSecret, 'hosts' | 'intact' | 'learnedAt'>;

/** An object of the watch that could not be read, as far as it says which one it is. */
type UnreadableSecret = Pick<SecretMetadata, 'namespace' | 'uid' | 'resourceVersion'>;

/**
 * Namespace → hosts → life of the stored token, in memory, for every namespace of the cluster. Fed by the watch with
 * metadata, and by our own writes at once, so that the next pod need not wait for the watch. Holds no token.
 */
export class SecretView {
  readonly #secrets = new Map<string, KnownSecret>();
  readonly #lost = new Map<string, LostSecret>();
  readonly #steady: () => number;
  #changes = 0;

  /** @param steady a clock in ms that is never set */
  constructor(steady: () => number = () => performance.now()) {
    this.#steady = steady;
  }

  get(namespace: string): KnownSecret | undefined {
    return this.#secrets.get(namespace);
  }

  /** All that is known, by namespace. */
  entries(): Iterable<[string, KnownSecret]> {
    return this.#secrets.entries();
  }

  /** Grows with every change, so that two looks can be told apart. */
  get changes(): number {
    return this.#changes;
  }

  /** Hosts of Secrets of ours that somebody deleted, by namespace, until there is a Secret again. */
  lost(): ReadonlyMap<string, LostSecret> {
    return this.#lost;
  }

  /** Gives up on a deleted Secret: its namespace is gone as well. */
  forget(namespace: string): void {
    this.#lost.delete(namespace);
  }

  /** Takes a whole list as the truth, but for Secrets of which a later version is known already. */
  replace(items: readonly SecretMetadata[]): void {
    const listed = new Set(items.map((item) => item.namespace));
    for (const namespace of this.#secrets.keys()) {
      if (!listed.has(namespace)) {
        this.#delete(namespace);
      }
    }
    for (const item of items) {
      this.set(item);
    }
  }

  /** Takes one Secret's metadata, unless a later version of it is known. */
  set({ namespace, uid, resourceVersion, labels, annotations, owners }: SecretMetadata): void {
    const known = this.#secrets.get(namespace);
    if ((compareResourceVersions(known?.resourceVersion, resourceVersion) ?? -1) >= 0) {
      return;
    }
    const hasOtherType = known?.hasOtherType === true && known.uid === uid;
    if (hasOtherType || !hasOurLabel(labels)) {
      this.#putUnmanaged(namespace, { uid, resourceVersion, hasOtherType });
      return;
    }
    const hosts = hostsIn(annotations?.[hostsAnnotation]);
    this.#put(namespace, { uid, resourceVersion, ours: true, intact: isIntact(owners), ...hosts });
  }

  /** Takes a Secret that could not be read for an unmanaged one, so that it is left as it is. */
  reject({ namespace, uid, resourceVersion }: UnreadableSecret): void {
    this.#putUnmanaged(namespace, { uid, resourceVersion, hasOtherType: false });
  }

  /** Notes a deleted Secret as lost, unless a later one has taken its place. */
  remove(namespace: string, resourceVersion: string): void {
    const known = this.#secrets.get(namespace);
    if (known !== undefined && (compareResourceVersions(known.resourceVersion, resourceVersion) ?? -1) <= 0) {
      this.#delete(namespace);
    }
  }

  /** Takes a Secret as it was read or stored. `ours` also looks at the type, which metadata does not show. */
  learn({ metadata, owners = [] }: SecretObject, ours: boolean): void {
    const { namespace, uid = '', resourceVersion = '', labels, annotations } = metadata;
    const known = this.#secrets.get(namespace);
    if ((compareResourceVersions(known?.resourceVersion, resourceVersion) ?? -1) > 0) {
      return;
    }
    if (!ours) {
      this.#putUnmanaged(namespace, { uid, resourceVersion, hasOtherType: hasOurLabel(labels) });
      return;
    }
    const hosts = hostsIn(annotations?.[hostsAnnotation]);
    this.#put(namespace, { uid, resourceVersion, ours, intact: isIntact(owners), ...hosts });
  }

  /** When stored tokens expire, by label of their region: see {@link tokenExpiries}. */
  tokenExpiries(now: number, labelOf: (region: string) => string): Map<string, number> {
    return tokenExpiries(this.#secrets.values(), now, labelOf);
  }

  /** The annotation of a Secret that is not ours is not parsed: whatever it says, nothing follows from it. */
  #putUnmanaged(
    namespace: string,
    secret: { readonly uid: string; readonly resourceVersion: string; readonly hasOtherType: boolean },
  ): void {
    this.#put(namespace, { ...secret, ours: false, intact: false, ...hostsIn(undefined) });
  }

  #put(namespace: string, secret: Omit<KnownSecret, 'learnedAt'>): void {
    const known = this.#secrets.get(namespace);
    const hosts =
      secret.ours && !secret.intact && known?.ours === true
        ? withLost(secret.hosts, known.hosts)
        : secret.hosts;
    this.#changes += 1;
    this.#lost.delete(namespace);
    this.#secrets.set(namespace, { ...secret, hosts, learnedAt: this.#steady() });
  }

  #delete(namespace: string): void {
    const known = this.#secrets.get(namespace);
    this.#changes += 1;
    this.#secrets.delete(namespace);
    if (known?.ours === true && known.hosts.size > 0) {
      const { hosts, intact } = known;
      this.#lost.set(namespace, { hosts, intact, learnedAt: this.#steady() });
    }
  }
}

function hostsIn(annotation: string | undefined): Pick<KnownSecret, 'hosts' | 'requestedAt'> {
  const hosts = parseHosts(annotation);
  return { hosts, requestedAt: parseRequestTimes(annotation, hosts) };
}

/**
 * A host that somebody took out of a Secret is still one of the namespace's, and waits for its token. Those that were
 * there before come first, so that edits cannot push them out, and all of them together are no more than are ever read.
 */
function withLost(hosts: HostLives, before: HostLives): HostLives {
  const names = new Set([...before.keys(), ...hosts.keys()]);
  return new Map([...names].slice(0, maxReadHosts).map((host) => [host, hosts.get(host)]));
}
