// What is remembered of a namespace's Secret.
import type { StoredLifetime } from '../ecr/token-policy.ts';
import type { HostLifetimes, RequestTimes } from './hosts-annotation.ts';

/** What is known of a namespace's Secret of our name. */
export interface CachedSecret {
  readonly uid: string;
  readonly resourceVersion: string;
  /** False for a Secret of our name that is not managed: see `ownsSecret`. */
  readonly isManaged: boolean;
  /**
   * False while something is to be repaired: label, content or annotation are not as one of us wrote them, or the Secret does
   * not name a host that the namespace's Secret had before.
   */
  readonly isIntact: boolean;
  /**
   * Whether `hosts`, or of an unmanaged Secret `formerHosts`, are as one of us wrote them; if not given, that is what `intact`
   * says.
   */
  readonly hasTrustedHosts?: boolean;
  /** Empty where the Secret is not managed. Hosts that it had before and does not name now are among them, and wait. */
  readonly hosts: HostLifetimes;
  /**
   * Hosts that the namespace's managed Secret had before an unmanaged one took its place, with the lifetimes of the tokens
   * that went with it; at most `maxReadHosts`. Empty for a managed Secret, and after `SecretView.forget`.
   */
  readonly formerHosts: HostLifetimes;
  /** Since when hosts without a token have been requested, as far as the annotation says. */
  readonly requestedAt: RequestTimes;
  /** When this state was first seen, in ms of a monotonic clock. Versions that change nothing in it do not count. */
  readonly observedAt: number;
  /** It is not managed on purpose: the operator has taken it over (see `isHandedOver`), or excluded its namespace. It is not reported. */
  readonly isOptedOut?: boolean;
  /** It has another type, which metadata does not show. A type cannot change while the UID is the same. */
  readonly hasOtherType?: boolean;
}

/**
 * A managed Secret that was deleted, or whose unmanaged replacement was deleted. `intact` says whether
 * the hosts are as one of us wrote them.
 */
export type DeletedSecret = Pick<CachedSecret, 'hosts' | 'isIntact' | 'observedAt'>;

/**
 * Whether the hosts are as one of the program's field managers wrote them. Anyone can write anything else into the
 * annotation, and that must not fill metrics, Events and alerts.
 */
export function hasTrustedHosts(secret: Pick<CachedSecret, 'isIntact' | 'hasTrustedHosts'>): boolean {
  return secret.hasTrustedHosts ?? secret.isIntact;
}

/** Whether an unmanaged Secret keeps the namespace's hosts from being stored, which is a failure unless that is intended. */
export function isBlockingSecret(
  secret: Pick<CachedSecret, 'isManaged' | 'isOptedOut'> | undefined,
): boolean {
  return secret?.isManaged === false && secret.isOptedOut !== true;
}

/**
 * The hosts that an unmanaged Secret replaced and that are reported. Of those that another writer put into the annotation only
 * one, because they must not fill metrics and Events.
 */
export function formerHostsToReport(secret: CachedSecret): readonly string[] {
  return [...secret.formerHosts.keys()].slice(0, hasTrustedHosts(secret) ? undefined : 1);
}

/**
 * Whether a later version of a Secret changes nothing about what is to be done: it is still to be repaired, or intact with the
 * same hosts and tokens. A writer that touches the Secret every second must not postpone what is due.
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
