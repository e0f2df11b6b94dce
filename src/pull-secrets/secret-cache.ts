import { compareResourceVersions } from '../kube/resource-version.ts';
import type { SecretMetadata } from '../kube/secret-metadata.ts';
import type { SecretObject } from '../kube/secrets.ts';
import { hostsAnnotation } from '../labels.ts';
import { hasOwnHosts, isSameState, type KnownSecret, type LostSecret } from './cached-secret.ts';
import { type HostLives, parseHosts, parseRequestTimes, withWaiting } from './hosts-annotation.ts';
import { hasOwnContent, isHandedOver, isIntact, ownsSecret, secretType } from './ownership.ts';
import { tokenExpiries } from './token-expirations.ts';

export type { KnownSecret, LostSecret } from './cached-secret.ts';

/** An object of the watch that could not be read, as far as it says which one it is. */
type UnreadableSecret = Pick<SecretMetadata, 'namespace' | 'uid' | 'resourceVersion'>;

type ReadableSecret = Pick<SecretMetadata, 'uid' | 'resourceVersion'> &
  Partial<Pick<SecretMetadata, 'labels' | 'annotations' | 'owners'>>;

type UnmanagedSecret = Pick<ReadableSecret, 'uid' | 'resourceVersion' | 'annotations'> & {
  readonly hasOtherType: boolean;
};

const noHosts: HostLives = new Map();

/**
 * Namespace → hosts → life of the stored token, in memory, for every namespace of the cluster. Fed by the watch with
 * metadata, and by our own writes at once, so that the next pod need not wait for the watch. Holds no token.
 */
export class SecretView {
  readonly #secrets = new Map<string, KnownSecret>();
  readonly #lost = new Map<string, LostSecret>();
  /** Namespace → hosts that its managed Secret does not name, although the namespace's Secret did before. */
  readonly #unnamed = new Map<string, HostLives>();
  readonly #steady: () => number;
  readonly #onReplaced: (namespace: string) => void;
  readonly #isExcluded: (namespace: string) => boolean;
  #changes = 0;

  /**
   * @param steady a monotonic clock in ms
   * @param onReplaced called when a managed Secret turns unmanaged, or an unmanaged one takes its place that is not handed over
   * @param isExcluded whether the operator excluded a namespace, so that an unmanaged Secret in it is no failure
   */
  constructor(
    steady: () => number = () => performance.now(),
    onReplaced: (namespace: string) => void = () => undefined,
    isExcluded: (namespace: string) => boolean = () => false,
  ) {
    this.#steady = steady;
    this.#onReplaced = onReplaced;
    this.#isExcluded = isExcluded;
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

  /** The hosts that a namespace's Secret names, or named before it was deleted, replaced or edited. */
  hostsOf(namespace: string): HostLives {
    const known = this.#secrets.get(namespace);
    if (known === undefined) {
      return this.#lost.get(namespace)?.hosts ?? noHosts;
    }
    return known.ours ? known.hosts : known.formerHosts;
  }

  /**
   * Gives up on a deleted Secret, and on the hosts that a namespace had before an unmanaged Secret took its place: the
   * namespace is gone, or no pod needs them any more.
   */
  forget(namespace: string): void {
    const known = this.#secrets.get(namespace);
    this.#lost.delete(namespace);
    if (known !== undefined && known.formerHosts.size > 0) {
      this.#changes += 1;
      this.#secrets.set(namespace, { ...known, formerHosts: noHosts });
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
    const known = this.#secrets.get(namespace);
    if ((compareResourceVersions(known?.resourceVersion, secret.resourceVersion) ?? -1) >= 0) {
      return;
    }
    const hasOtherType = known?.hasOtherType === true && known.uid === secret.uid;
    if (!hasOtherType && ownsSecret(secret)) {
      this.#putManaged(namespace, secret, this.#before(namespace, secret));
    } else {
      this.#replaceByUnmanaged(namespace, { ...secret, hasOtherType });
    }
  }

  /** Takes a Secret that could not be read for an unmanaged one, so that it is not changed. */
  reject({ namespace, uid, resourceVersion }: UnreadableSecret): void {
    const known = this.#secrets.get(namespace);
    const hasOtherType = known?.hasOtherType === true && known.uid === uid;
    this.#putUnmanaged(namespace, { uid, resourceVersion, hasOtherType });
  }

  /** Notes a deleted Secret as lost, unless a later one has taken its place. */
  remove(namespace: string, resourceVersion: string): void {
    const known = this.#secrets.get(namespace);
    if (known !== undefined && (compareResourceVersions(known.resourceVersion, resourceVersion) ?? -1) <= 0) {
      this.#delete(namespace);
    }
  }

  /**
   * Takes a Secret as it was read, unless a later version is known.
   * @param ours whether it is managed, by its type as well, which metadata does not show
   */
  learn(secret: SecretObject, ours: boolean): void {
    const { namespace, ...read } = metadataOf(secret);
    const known = this.#secrets.get(namespace);
    const hasOtherType = !ours && secret.type !== secretType;
    const order = compareResourceVersions(known?.resourceVersion, read.resourceVersion) ?? -1;
    const isKnown = order === 0 && known?.ours === ours && (known.hasOtherType ?? false) === hasOtherType;
    if (order > 0 || isKnown) {
      return;
    }
    if (ours) {
      this.#putManaged(namespace, read, this.#before(namespace, read));
    } else {
      this.#replaceByUnmanaged(namespace, { ...read, hasOtherType });
    }
  }

  /**
   * Takes a Secret as we have just stored it, unless a later version is known. What it names is all that the namespace needs,
   * since {@link hostsOf} was taken into account when it was written.
   */
  stored(secret: SecretObject): void {
    const { namespace, ...written } = metadataOf(secret);
    const known = this.#secrets.get(namespace);
    if ((compareResourceVersions(known?.resourceVersion, written.resourceVersion) ?? -1) <= 0) {
      this.#putManaged(namespace, written, noHosts);
    }
  }

  /** When stored tokens expire, by label of their region: see {@link tokenExpiries}. */
  tokenExpiries(now: number, labelOf: (region: string) => string): Map<string, number> {
    return tokenExpiries(this.#secrets.values(), now, labelOf);
  }

  /** What the namespace needs besides the hosts that a version of its managed Secret names. */
  #before(namespace: string, { uid, owners }: ReadableSecret): HostLives {
    const known = this.#secrets.get(namespace);
    const isOwnUpdate = known?.ours === true && known.uid === uid && hasOwnContent(owners ?? []);
    // a host that it does not name any more has left it for a reason, unless it was missing before
    return isOwnUpdate ? (this.#unnamed.get(namespace) ?? noHosts) : this.hostsOf(namespace);
  }

  #putManaged(namespace: string, secret: ReadableSecret, before: HostLives): void {
    const { uid, resourceVersion, labels, annotations, owners = [] } = secret;
    const annotation = annotations?.[hostsAnnotation];
    const named = parseHosts(annotation);
    const unnamed = new Map([...before].filter(([host]) => !named.has(host)));
    const hosts = unnamed.size === 0 ? named : withWaiting(named, before);
    this.#put(namespace, {
      ...{ uid, resourceVersion, hosts, formerHosts: noHosts },
      ours: true,
      intact: unnamed.size === 0 && isIntact({ labels, owners }),
      hasOwnHosts: hasOwnContent(owners),
      requestedAt: parseRequestTimes(annotation, hosts),
    });
    if (unnamed.size > 0) {
      this.#unnamed.set(namespace, unnamed);
    }
  }

  #replaceByUnmanaged(namespace: string, secret: UnmanagedSecret): void {
    const wasManaged = this.#secrets.get(namespace)?.ours === true || this.#lost.has(namespace);
    this.#putUnmanaged(namespace, secret);
    if (wasManaged && this.#secrets.get(namespace)?.handedOver !== true) {
      this.#onReplaced(namespace);
    }
  }

  /** The hosts annotation of an unmanaged Secret is not parsed: whatever it says, nothing follows from it. */
  #putUnmanaged(
    namespace: string,
    { uid, resourceVersion, annotations, hasOtherType }: UnmanagedSecret,
  ): void {
    const known = this.#secrets.get(namespace);
    const lost = this.#lost.get(namespace);
    this.#put(namespace, {
      ...{ uid, resourceVersion, hasOtherType, hosts: noHosts, requestedAt: new Map() },
      ours: false,
      intact: false,
      handedOver: isHandedOver(annotations) || this.#isExcluded(namespace),
      hasOwnHosts: known === undefined ? lost?.intact === true : hasOwnHosts(known),
      formerHosts: this.hostsOf(namespace),
    });
  }

  #put(namespace: string, secret: Omit<KnownSecret, 'learnedAt'>): void {
    const known = this.#secrets.get(namespace);
    const learnedAt = known !== undefined && isSameState(known, secret) ? known.learnedAt : this.#steady();
    this.#changes += 1;
    this.#lost.delete(namespace);
    this.#unnamed.delete(namespace);
    this.#secrets.set(namespace, { ...secret, learnedAt });
  }

  #delete(namespace: string): void {
    const known = this.#secrets.get(namespace);
    const hosts = this.hostsOf(namespace);
    this.#changes += 1;
    this.#secrets.delete(namespace);
    this.#unnamed.delete(namespace);
    if (known !== undefined && hosts.size > 0) {
      this.#lost.set(namespace, { hosts, intact: hasOwnHosts(known), learnedAt: this.#steady() });
    }
  }
}

function metadataOf({
  metadata,
  owners = [],
}: SecretObject): ReadableSecret & { readonly namespace: string } {
  const { namespace, uid = '', resourceVersion = '', labels = {}, annotations = {} } = metadata;
  return { namespace, uid, resourceVersion, labels, annotations, owners };
}
