// Keeps the state of the pull Secrets of all namespaces in memory, without tokens.
import type { RegistryResolver } from '../ecr/registry.ts';
import { compareResourceVersions } from '../kube/resource-version.ts';
import type { SecretMetadata } from '../kube/secret-metadata.ts';
import type { SecretObject } from '../kube/secrets.ts';
import { hostsAnnotation } from '../labels.ts';
import { type CachedSecret, type DeletedSecret, hasTrustedHosts, isSameState } from './cached-secret.ts';
import {
  addFormerHosts,
  type HostLifetimes,
  parseAnnotation,
  parseRequestTimes,
} from './hosts-annotation.ts';
import { isIntact, isOptedOut, ownsContent, ownsSecret, secretType } from './ownership.ts';
import { findTokenExpiries } from './token-expirations.ts';

export type { CachedSecret, DeletedSecret } from './cached-secret.ts';

/** The identity of a watched object that could not be parsed. */
type UnreadableSecret = Pick<SecretMetadata, 'namespace' | 'uid' | 'resourceVersion'>;

type ReadableSecret = Pick<SecretMetadata, 'uid' | 'resourceVersion'> &
  Partial<Pick<SecretMetadata, 'labels' | 'annotations' | 'fieldOwners'>>;

type UnmanagedSecret = Pick<ReadableSecret, 'uid' | 'resourceVersion' | 'annotations'> & {
  readonly hasOtherType: boolean;
};

const noHosts: HostLifetimes = new Map();

/**
 * The hosts of each namespace's Secret and the lifetimes of their tokens. It is updated by a watch of Secret metadata, and
 * immediately by the program's own writes, so that the next pod does not wait for the watch.
 */
export class SecretCache {
  readonly #secrets = new Map<string, CachedSecret>();
  readonly #deleted = new Map<string, DeletedSecret>();
  /** Namespace → hosts that its managed Secret does not name, although the namespace's Secret named them before. */
  readonly #unnamed = new Map<string, HostLifetimes>();
  readonly #resolveRegistry: RegistryResolver;
  readonly #monotonicNow: () => number;
  readonly #onReplaced: (namespace: string) => void;
  readonly #isExcluded: (namespace: string) => boolean;
  readonly #hasOutdatedMetadata: (secret: ReadableSecret) => boolean;
  #changeCount = 0;

  /**
   * @param monotonicNow a monotonic clock in ms
   * @param onReplaced called when a managed Secret becomes unmanaged or is replaced by an unmanaged one, unless that is
   *   intended (see `CachedSecret.isOptedOut`)
   * @param isExcluded whether the operator excluded a namespace, so that an unmanaged Secret in it is no failure
   * @param hasOutdatedMetadata see `CachedSecret.hasOutdatedMetadata`
   */
  constructor(
    resolveRegistry: RegistryResolver,
    monotonicNow: () => number = () => performance.now(),
    onReplaced: (namespace: string) => void = () => undefined,
    isExcluded: (namespace: string) => boolean = () => false,
    hasOutdatedMetadata: (secret: ReadableSecret) => boolean = () => false,
  ) {
    this.#resolveRegistry = resolveRegistry;
    this.#monotonicNow = monotonicNow;
    this.#onReplaced = onReplaced;
    this.#isExcluded = isExcluded;
    this.#hasOutdatedMetadata = hasOutdatedMetadata;
  }

  get(namespace: string): CachedSecret | undefined {
    return this.#secrets.get(namespace);
  }

  /** All cached Secrets by namespace. */
  entries(): Iterable<[string, CachedSecret]> {
    return this.#secrets.entries();
  }

  /** Increases with every change, so that callers can detect changes. */
  get changeCount(): number {
    return this.#changeCount;
  }

  /** Managed Secrets that were deleted, by namespace, until there is a Secret again. */
  deletedSecrets(): ReadonlyMap<string, DeletedSecret> {
    return this.#deleted;
  }

  /** The hosts that a namespace's Secret names, or named before it was deleted, replaced or modified. */
  hostsOf(namespace: string): HostLifetimes {
    const cached = this.#secrets.get(namespace);
    if (cached === undefined) {
      return this.#deleted.get(namespace)?.hosts ?? noHosts;
    }
    return cached.isManaged ? cached.hosts : cached.formerHosts;
  }

  /**
   * Forgets a namespace's deleted Secret, and the hosts that it had before an unmanaged Secret replaced the managed one,
   * because the namespace is gone or no pod needs the hosts any more.
   */
  forget(namespace: string): void {
    const cached = this.#secrets.get(namespace);
    this.#deleted.delete(namespace);
    if (cached !== undefined && cached.formerHosts.size > 0) {
      this.#changeCount += 1;
      this.#secrets.set(namespace, { ...cached, formerHosts: noHosts });
    }
  }

  /** Replaces the cache by a complete list, except Secrets of which a later version is cached. */
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

  /** Sets one Secret from its metadata, unless this or a later version is cached. */
  set({ namespace, ...secret }: SecretMetadata): void {
    const cached = this.#secrets.get(namespace);
    if ((compareResourceVersions(cached?.resourceVersion, secret.resourceVersion) ?? -1) >= 0) {
      return;
    }
    const hasOtherType = cached?.hasOtherType === true && cached.uid === secret.uid;
    if (!hasOtherType && ownsSecret(secret)) {
      this.#putManaged(namespace, secret, this.#formerHosts(namespace, secret));
    } else {
      this.#replaceWithUnmanaged(namespace, { ...secret, hasOtherType });
    }
  }

  /** Treats a Secret that could not be parsed as unmanaged, so that it is not changed. */
  reject({ namespace, uid, resourceVersion }: UnreadableSecret): void {
    const cached = this.#secrets.get(namespace);
    const hasOtherType = cached?.hasOtherType === true && cached.uid === uid;
    this.#putUnmanaged(namespace, { uid, resourceVersion, hasOtherType });
  }

  /** Records that a Secret was deleted, unless a later version is cached. */
  remove(namespace: string, resourceVersion: string): void {
    const cached = this.#secrets.get(namespace);
    if (
      cached !== undefined &&
      (compareResourceVersions(cached.resourceVersion, resourceVersion) ?? -1) <= 0
    ) {
      this.#delete(namespace);
    }
  }

  /**
   * Sets a Secret that was read, unless a later version is cached.
   * @param isManaged whether it is managed, also by its type, which metadata does not include
   */
  updateFromRead(secret: SecretObject, isManaged: boolean): void {
    const { namespace, ...read } = pickMetadata(secret);
    const cached = this.#secrets.get(namespace);
    const hasOtherType = !isManaged && secret.type !== secretType;
    const order = compareResourceVersions(cached?.resourceVersion, read.resourceVersion) ?? -1;
    const isCached =
      order === 0 && cached?.isManaged === isManaged && (cached.hasOtherType ?? false) === hasOtherType;
    if (order > 0 || isCached) {
      return;
    }
    if (isManaged) {
      this.#putManaged(namespace, read, this.#formerHosts(namespace, read));
    } else {
      this.#replaceWithUnmanaged(namespace, { ...read, hasOtherType });
    }
  }

  /**
   * Sets a Secret that the program has just stored, unless a later version is cached. It names all hosts that the namespace
   * needs, because the result of {@link hostsOf} was included in it.
   */
  updateFromWrite(secret: SecretObject): void {
    const { namespace, ...stored } = pickMetadata(secret);
    const cached = this.#secrets.get(namespace);
    if ((compareResourceVersions(cached?.resourceVersion, stored.resourceVersion) ?? -1) <= 0) {
      this.#putManaged(namespace, stored, noHosts);
    }
  }

  /** When stored tokens expire, by label of their region: see {@link findTokenExpiries}. */
  tokenExpiries(now: number, labelOf: (region: string) => string): Map<string, number> {
    return findTokenExpiries(this.#secrets.values(), now, labelOf, this.#resolveRegistry);
  }

  /** The hosts that the namespace needs in addition to those that a new version of its managed Secret names. */
  #formerHosts(namespace: string, { uid, fieldOwners }: ReadableSecret): HostLifetimes {
    const cached = this.#secrets.get(namespace);
    const isOwnUpdate = cached?.isManaged === true && cached.uid === uid && ownsContent(fieldOwners ?? []);
    // The program removed a host on purpose if its own write no longer names it, unless it was unnamed before that.
    return isOwnUpdate ? (this.#unnamed.get(namespace) ?? noHosts) : this.hostsOf(namespace);
  }

  #putManaged(namespace: string, secret: ReadableSecret, formerHosts: HostLifetimes): void {
    const { uid, resourceVersion, labels, annotations, fieldOwners = [] } = secret;
    const annotation = annotations?.[hostsAnnotation];
    const { hosts: named, unconfigured } = parseAnnotation(annotation, this.#resolveRegistry);
    const unnamed = new Map([...formerHosts].filter(([host]) => !named.has(host)));
    const hosts = unnamed.size === 0 ? named : addFormerHosts(named, formerHosts);
    this.#put(namespace, {
      ...{ uid, resourceVersion, hosts, formerHosts: noHosts, unconfigured },
      isManaged: true,
      isIntact: unnamed.size === 0 && isIntact({ labels, fieldOwners }),
      hasTrustedHosts: ownsContent(fieldOwners),
      requestedAt: parseRequestTimes(annotation, hosts),
      ...(this.#hasOutdatedMetadata(secret) && { hasOutdatedMetadata: true }),
    });
    if (unnamed.size > 0) {
      this.#unnamed.set(namespace, unnamed);
    }
  }

  #replaceWithUnmanaged(namespace: string, secret: UnmanagedSecret): void {
    const wasManaged = this.#secrets.get(namespace)?.isManaged === true || this.#deleted.has(namespace);
    this.#putUnmanaged(namespace, secret);
    if (wasManaged && this.#secrets.get(namespace)?.isOptedOut !== true) {
      this.#onReplaced(namespace);
    }
  }

  /** Does not parse the hosts annotation, because the program does nothing with the hosts of an unmanaged Secret. */
  #putUnmanaged(
    namespace: string,
    { uid, resourceVersion, annotations, hasOtherType }: UnmanagedSecret,
  ): void {
    const cached = this.#secrets.get(namespace);
    const deleted = this.#deleted.get(namespace);
    this.#put(namespace, {
      ...{ uid, resourceVersion, hasOtherType, hosts: noHosts, requestedAt: new Map() },
      isManaged: false,
      isIntact: false,
      isOptedOut: isOptedOut(annotations) || this.#isExcluded(namespace),
      hasTrustedHosts: cached === undefined ? deleted?.isIntact === true : hasTrustedHosts(cached),
      formerHosts: this.hostsOf(namespace),
    });
  }

  #put(namespace: string, secret: Omit<CachedSecret, 'observedAt'>): void {
    const cached = this.#secrets.get(namespace);
    const observedAt =
      cached !== undefined && isSameState(cached, secret) ? cached.observedAt : this.#monotonicNow();
    this.#changeCount += 1;
    this.#deleted.delete(namespace);
    this.#unnamed.delete(namespace);
    this.#secrets.set(namespace, { ...secret, observedAt });
  }

  #delete(namespace: string): void {
    const cached = this.#secrets.get(namespace);
    const hosts = this.hostsOf(namespace);
    this.#changeCount += 1;
    this.#secrets.delete(namespace);
    this.#unnamed.delete(namespace);
    if (cached !== undefined && hosts.size > 0) {
      this.#deleted.set(namespace, {
        hosts,
        isIntact: hasTrustedHosts(cached),
        observedAt: this.#monotonicNow(),
      });
    }
  }
}

function pickMetadata({
  metadata,
  fieldOwners = [],
}: SecretObject): ReadableSecret & { readonly namespace: string } {
  const { namespace, uid = '', resourceVersion = '', labels = {}, annotations = {} } = metadata;
  return { namespace, uid, resourceVersion, labels, annotations, fieldOwners };
}
