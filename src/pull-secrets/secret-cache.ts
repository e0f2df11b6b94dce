import type { RegistryResolver } from '../ecr/registry.ts';
import { compareResourceVersions } from '../kube/resource-version.ts';
import type { SecretMetadata } from '../kube/secret-metadata.ts';
import type { SecretObject } from '../kube/secrets.ts';
import { hostsAnnotation } from '../labels.ts';
import { type CachedSecret, type DeletedSecret, hasTrustedHosts, isSameState } from './cached-secret.ts';
import { addFormerHosts, type HostLifetimes, parseHosts, parseRequestTimes } from './hosts-annotation.ts';
import { isIntact, isOptedOut, ownsContent, ownsSecret, secretType } from './ownership.ts';
import { findTokenExpiries } from './token-expirations.ts';

export type { CachedSecret as KnownSecret, DeletedSecret as LostSecret } from './cached-secret.ts';

/** An object of the watch that could not be read, as far as it says which one it is. */
type UnreadableSecret = Pick<SecretMetadata, 'namespace' | 'uid' | 'resourceVersion'>;

type ReadableSecret = Pick<SecretMetadata, 'uid' | 'resourceVersion'> &
  Partial<Pick<SecretMetadata, 'labels' | 'annotations' | 'fieldOwners'>>;

type UnmanagedSecret = Pick<ReadableSecret, 'uid' | 'resourceVersion' | 'annotations'> & {
  readonly hasOtherType: boolean;
};

const noHosts: HostLifetimes = new Map();

/**
 * Namespace → hosts → life of the stored token, in memory, for every namespace of the cluster. Fed by the watch with
 * metadata, and by our own writes at once, so that the next pod need not wait for the watch. Holds no token.
 */
export class SecretCache {
  readonly #secrets = new Map<string, CachedSecret>();
  readonly #deleted = new Map<string, DeletedSecret>();
  /** Namespace → hosts that its managed Secret does not name, although the namespace's Secret did before. */
  readonly #unnamed = new Map<string, HostLifetimes>();
  readonly #resolveRegistry: RegistryResolver;
  readonly #monotonicNow: () => number;
  readonly #onReplaced: (namespace: string) => void;
  readonly #isExcluded: (namespace: string) => boolean;
  #changeCount = 0;

  /**
   * @param steady a monotonic clock in ms
   * @param onReplaced called when a managed Secret turns unmanaged, or an unmanaged one takes its place that is not handed over
   * @param isExcluded whether the operator excluded a namespace, so that an unmanaged Secret in it is no failure
   */
  constructor(
    resolveRegistry: RegistryResolver,
    steady: () => number = () => performance.now(),
    onReplaced: (namespace: string) => void = () => undefined,
    isExcluded: (namespace: string) => boolean = () => false,
  ) {
    this.#resolveRegistry = resolveRegistry;
    this.#monotonicNow = steady;
    this.#onReplaced = onReplaced;
    this.#isExcluded = isExcluded;
  }

  get(namespace: string): CachedSecret | undefined {
    return this.#secrets.get(namespace);
  }

  /** All that is known, by namespace. */
  entries(): Iterable<[string, CachedSecret]> {
    return this.#secrets.entries();
  }

  /** Grows with every change, so that two looks can be told apart. */
  get changeCount(): number {
    return this.#changeCount;
  }

  /** Hosts of Secrets of ours that somebody deleted, by namespace, until there is a Secret again. */
  deletedSecrets(): ReadonlyMap<string, DeletedSecret> {
    return this.#deleted;
  }

  /** The hosts that a namespace's Secret names, or named before it was deleted, replaced or edited. */
  hostsOf(namespace: string): HostLifetimes {
    const cached = this.#secrets.get(namespace);
    if (cached === undefined) {
      return this.#deleted.get(namespace)?.hosts ?? noHosts;
    }
    return cached.isManaged ? cached.hosts : cached.formerHosts;
  }

  /**
   * Gives up on a deleted Secret, and on the hosts that a namespace had before an unmanaged Secret took its place: the
   * namespace is gone, or no pod needs them any more.
   */
  forget(namespace: string): void {
    const cached = this.#secrets.get(namespace);
    this.#deleted.delete(namespace);
    if (cached !== undefined && cached.formerHosts.size > 0) {
      this.#changeCount += 1;
      this.#secrets.set(namespace, { ...cached, formerHosts: noHosts });
    }
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

  /** Takes one Secret's metadata, unless this or a later version of it is known. */
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

  /** Takes a Secret that could not be read for an unmanaged one, so that it is not changed. */
  reject({ namespace, uid, resourceVersion }: UnreadableSecret): void {
    const cached = this.#secrets.get(namespace);
    const hasOtherType = cached?.hasOtherType === true && cached.uid === uid;
    this.#putUnmanaged(namespace, { uid, resourceVersion, hasOtherType });
  }

  /** Notes a deleted Secret as lost, unless a later one has taken its place. */
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
   * Takes a Secret as it was read, unless a later version is known.
   * @param isManaged whether it is managed, by its type as well, which metadata does not show
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
   * Takes a Secret as we have just stored it, unless a later version is known. What it names is all that the namespace needs,
   * since {@link hostsOf} was taken into account when it was written.
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

  /** What the namespace needs besides the hosts that a version of its managed Secret names. */
  #formerHosts(namespace: string, { uid, fieldOwners }: ReadableSecret): HostLifetimes {
    const cached = this.#secrets.get(namespace);
    const isOwnUpdate = cached?.isManaged === true && cached.uid === uid && ownsContent(fieldOwners ?? []);
    // a host that it does not name any more has left it for a reason, unless it was missing before
    return isOwnUpdate ? (this.#unnamed.get(namespace) ?? noHosts) : this.hostsOf(namespace);
  }

  #putManaged(namespace: string, secret: ReadableSecret, formerHosts: HostLifetimes): void {
    const { uid, resourceVersion, labels, annotations, fieldOwners = [] } = secret;
    const annotation = annotations?.[hostsAnnotation];
    const named = parseHosts(annotation, this.#resolveRegistry);
    const unnamed = new Map([...formerHosts].filter(([host]) => !named.has(host)));
    const hosts = unnamed.size === 0 ? named : addFormerHosts(named, formerHosts);
    this.#put(namespace, {
      ...{ uid, resourceVersion, hosts, formerHosts: noHosts },
      isManaged: true,
      isIntact: unnamed.size === 0 && isIntact({ labels, fieldOwners }),
      hasTrustedHosts: ownsContent(fieldOwners),
      requestedAt: parseRequestTimes(annotation, hosts),
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

  /** The hosts annotation of an unmanaged Secret is not parsed: whatever it says, nothing follows from it. */
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
    const learnedAt =
      cached !== undefined && isSameState(cached, secret) ? cached.observedAt : this.#monotonicNow();
    this.#changeCount += 1;
    this.#deleted.delete(namespace);
    this.#unnamed.delete(namespace);
    this.#secrets.set(namespace, { ...secret, observedAt: learnedAt });
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
