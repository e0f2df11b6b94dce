// What the cache keeps about a namespace's Secret.
import type { StoredLifetime } from '../ecr/token-policy.ts';
import type { HostLifetimes, RequestTimes, UnconfiguredHosts } from './hosts-annotation.ts';

/** State of the Secret with the program's name in one namespace, managed or not. */
export interface CachedSecret {
  readonly uid: string;
  readonly resourceVersion: string;
  /** See `ownsSecret`. */
  readonly isManaged: boolean;
  /**
   * False while the Secret has to be repaired: another writer changed label, content or annotation, or the Secret does not
   * name a host that the namespace's Secret named before.
   */
  readonly isIntact: boolean;
  /**
   * Whether the program wrote `hosts` (of an unmanaged Secret: `formerHosts`), and no other writer. Equals `isIntact` if not
   * set.
   */
  readonly hasTrustedHosts?: boolean;
  /** Empty if the Secret is not managed. Includes former hosts that the Secret no longer names, without a token. */
  readonly hosts: HostLifetimes;
  /**
   * Hosts that the namespace's managed Secret had before an unmanaged one replaced it, with the lifetimes of the tokens that
   * were lost with it; at most `maxParsedHosts`. Empty for a managed Secret, and after `SecretCache.forget`.
   */
  readonly formerHosts: HostLifetimes;
  /** Not set: none. */
  readonly unconfigured?: UnconfiguredHosts;
  /** Since when hosts without a token have been requested, according to the annotation. */
  readonly requestedAt: RequestTimes;
  /** When this state was first observed, in ms of a monotonic clock. Later versions with the same state do not change it. */
  readonly observedAt: number;
  /**
   * The Secret is unmanaged on purpose and is not reported: the operator manages it (see `isOptedOut` in ownership.ts), or
   * excluded its namespace.
   */
  readonly isOptedOut?: boolean;
  /** It lacks labels or annotations that the operator configured, or has some of earlier settings. Not set: neither. */
  readonly hasOutdatedMetadata?: boolean;
  /** It has another type. Metadata does not show the type, but the type is fixed for a UID. */
  readonly hasOtherType?: boolean;
}

/**
 * A managed Secret that was deleted, or whose unmanaged replacement was deleted. `isIntact` says whether the program wrote
 * the hosts, and no other writer.
 */
export type DeletedSecret = Pick<CachedSecret, 'hosts' | 'isIntact' | 'observedAt'>;

/**
 * Whether one of the program's field managers wrote the hosts. Anyone else can write anything into the annotation, and that
 * must not fill metrics, Events and alerts.
 */
export function hasTrustedHosts(secret: Pick<CachedSecret, 'isIntact' | 'hasTrustedHosts'>): boolean {
  return secret.hasTrustedHosts ?? secret.isIntact;
}

/** Whether an unmanaged Secret prevents the namespace's hosts from being stored, without the operator intending that. */
export function isBlockingSecret(
  secret: Pick<CachedSecret, 'isManaged' | 'isOptedOut'> | undefined,
): boolean {
  return secret?.isManaged === false && secret.isOptedOut !== true;
}

/**
 * The hosts to report because an unmanaged Secret replaced the one that held them. If another writer put them into the
 * annotation, only the first one, so that they cannot fill metrics and Events.
 */
export function formerHostsToReport(secret: CachedSecret): readonly string[] {
  return [...secret.formerHosts.keys()].slice(0, hasTrustedHosts(secret) ? undefined : 1);
}

/**
 * Whether a later version of a Secret requires the same action: it still has to be repaired, or it is intact with the same
 * hosts and tokens. A writer that touches the Secret every second must not postpone an action that is due.
 */
export function isSameState(cached: CachedSecret, next: Omit<CachedSecret, 'observedAt'>): boolean {
  return (
    cached.uid === next.uid &&
    cached.isManaged === next.isManaged &&
    cached.isIntact === next.isIntact &&
    cached.isOptedOut === next.isOptedOut &&
    (!next.isIntact || haveSameHosts(cached.hosts, next.hosts))
  );
}

function haveSameHosts(a: HostLifetimes, b: HostLifetimes): boolean {
  return (
    a.size === b.size &&
    [...a].every(([host, lifetime]) => b.has(host) && isSameLifetime(lifetime, b.get(host)))
  );
}

function isSameLifetime(a: StoredLifetime | undefined, b: StoredLifetime | undefined): boolean {
  return a?.issuedAt === b?.issuedAt && a?.expiresAt === b?.expiresAt && a?.identity === b?.identity;
}
