// Decides when a token is fresh, usable, replaceable and due for renewal. No other file decides any of these.
import { hashFraction } from '../util/hash.ts';
import type { HostIdentityResolver, IdentityDecision } from './identity.ts';

/** When a token was received and when it expires, both in ms since the epoch by the wall clock. */
export interface Validity {
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** The lifetime of a token that is stored in a Secret. */
export interface StoredLifetime extends Validity {
  /** Fingerprint of the identity that fetched the token; undefined: the process's own identity. */
  readonly identity?: string;
}

/** How much of its lifetime a fresh token must have left: the larger of the two. */
export interface Freshness {
  /** Share of the lifetime, from 0 to 1. Both official AWS helpers renew at one half. */
  readonly fraction: number;
  /** In ms, whatever the lifetime is. */
  readonly floorMs: number;
}

/** Lifetime of an ECR token (Amazon ECR API reference, GetAuthorizationToken: "valid for 12 hours"). */
export const maxLifetimeMs = 12 * 3_600_000;

/** A token is new in this first share of its lifetime. A new token is fresh whatever {@link Freshness} requires. */
const newFraction = 0.1;

/** Whether a token has not expired yet. Times are in ms since the epoch. */
export function isUnexpired(expiresAt: number, now: number): boolean {
  return now < expiresAt;
}

function isNew({ issuedAt, expiresAt }: Validity, now: number): boolean {
  return Math.abs(now - issuedAt) <= newFraction * (expiresAt - issuedAt);
}

/**
 * Whether untrusted times can be those of a valid token: it has not expired, and does not live longer than ECR's tokens.
 */
export function isPlausible({ issuedAt, expiresAt }: Validity, now: number): boolean {
  const remainingMs = expiresAt - now;
  return (
    expiresAt - issuedAt <= maxLifetimeMs &&
    remainingMs > 0 &&
    remainingMs <= (1 + newFraction) * maxLifetimeMs
  );
}

// Fresh: the token needs no renewal.

/**
 * When a token stops being fresh, in ms since the epoch. The required remaining lifetime is capped at nine tenths of the
 * lifetime. Otherwise a token that lives shorter than the floor would be fetched again for every pod.
 */
export function getFreshUntil({ issuedAt, expiresAt }: Validity, { fraction, floorMs }: Freshness): number {
  const lifetimeMs = expiresAt - issuedAt;
  return expiresAt - Math.min(Math.max(fraction * lifetimeMs, floorMs), (1 - newFraction) * lifetimeMs);
}

/**
 * Whether a token needs no renewal yet. A token that was issued more than a tenth of its lifetime in the future is not
 * fresh: the clock was set back, so its age is unknown, and it would otherwise count as fresh for that much longer.
 */
export function isFresh(lifetime: Validity, now: number, freshness: Freshness): boolean {
  const { issuedAt, expiresAt } = lifetime;
  const isAgePlausible = expiresAt - now <= (1 + newFraction) * (expiresAt - issuedAt);
  return isUnexpired(expiresAt, now) && now <= getFreshUntil(lifetime, freshness) && isAgePlausible;
}

// Usable: a pod that starts now can pull with the token, although a renewal may be due.

/**
 * Whether a pod need not wait for a newer token. The required remaining lifetime is the smaller one of the two that
 * {@link isFresh} takes the larger one of, so every fresh token is usable.
 */
export function isUsable(
  { issuedAt, expiresAt }: Validity,
  now: number,
  { fraction, floorMs }: Freshness,
): boolean {
  const lifetimeMs = expiresAt - issuedAt;
  const requiredMs = Math.min(fraction * lifetimeMs, floorMs, (1 - newFraction) * lifetimeMs);
  return isUnexpired(expiresAt, now) && expiresAt - now >= requiredMs;
}

// Replaceable: another token is worth a write.

/** A token that expires later by this share of its lifetime replaces a stored token that is still fresh. */
const minGainFraction = 0.25;

/** Tolerated difference between the clocks of two machines, in ms. Kubernetes' own certificate signer tolerates as much. */
const clockSkewMs = 5 * 60_000;

export interface ReplacementRules {
  readonly freshness: Freshness;
  /** Fingerprint of the identity that fetched the new token; undefined: the process's own identity. */
  readonly identity: string | undefined;
  /** Since when this process knows that this identity applies, in ms by the wall clock; infinite: it knows better than others. */
  readonly identityKnownSince: number;
}

/**
 * Whether a token replaces the stored token of a host. It does if it has not expired and one of these is true:
 * - another identity fetched the stored token, which is no longer fresh, or was issued before this process knew the identity of
 *   the new one: a later one comes from another replica, which knows newer rules or facts than one whose watch is behind;
 * - the stored token was issued by a clock ahead of this one, so that its expiry is unknown, and the token is new;
 * - it expires later, and the stored token is no longer fresh or expires much earlier.
 * @param now the wall clock in ms
 */
export function isReplaceable(
  stored: StoredLifetime,
  token: Validity,
  now: number,
  { freshness, identity, identityKnownSince }: ReplacementRules,
): boolean {
  if (!isUnexpired(token.expiresAt, now)) {
    return false;
  }
  if (stored.identity !== identity) {
    return stored.issuedAt < identityKnownSince + clockSkewMs || now > getFreshUntil(stored, freshness);
  }
  if (stored.issuedAt > now + clockSkewMs && isNew(token, now)) {
    return true;
  }
  const isStale = now > getFreshUntil(stored, freshness);
  return token.expiresAt > stored.expiresAt && (isStale || expiresMuchLater(token, stored));
}

function expiresMuchLater(token: Validity, stored: Validity): boolean {
  return token.expiresAt - stored.expiresAt >= minGainFraction * (token.expiresAt - token.issuedAt);
}

// Due: renewal fetches a new token.

/** Why a host of a Secret is due. */
export type DueReason =
  /** The host has no token yet. */
  | 'missing-token'
  /** The token has expired. */
  | 'expired'
  /** The token is no longer fresh: half of its lifetime is over, unless the operator chose otherwise. */
  | 'scheduled'
  /** The token is no longer fresh according to the monotonic clock. The wall clock was set back. */
  | 'clock-set-back'
  /** Another identity applies to the host than the one that fetched the token. */
  | 'role-changed'
  /** A rule denies the namespace the tokens of the host, so the host is removed from the Secret. */
  | 'denied'
  /** A new token for the region is cached that expires much later, so all Secrets of a region are renewed together. */
  | 'newer-token';

/** When and why a host is due. */
export interface DueTime {
  /** In ms since the epoch by the wall clock. */
  readonly at: number;
  readonly reason: DueReason;
}

/**
 * Looks up what depends on a host and on the identity that fetches its tokens for a namespace.
 * @param decision which identity applies: what {@link ScheduleRules.identityOf} returns for the namespace and the host
 */
export type HostRule<T> = (namespace: string, host: string, decision: IdentityDecision) => T | undefined;

export interface ScheduleRules {
  /** Distinguishes this replica from the others. */
  readonly replica: string;
  readonly freshness: Freshness;
  /** When this process started, in ms by the wall clock. */
  readonly startedAt: number;
  readonly identityOf: HostIdentityResolver;
  /**
   * When this process last saw a change of what the identities of a namespace depend on (labels of the namespace, annotations
   * of its ServiceAccounts), in ms by the wall clock; undefined: it saw none.
   */
  identityChangedAt(namespace: string): number | undefined;
  /** The cached token for a host in a namespace. It may have expired. */
  readonly cachedToken: HostRule<Validity>;
}

/** Both clocks at one moment, in ms. */
export interface ClockReading {
  readonly wallMs: number;
  /** Never set, so differences are reliable; the value itself has no meaning. */
  readonly monotonicMs: number;
}

/**
 * Shares of the remaining lifetime at the end of freshness (usually 6 h). Over the first, renewals of the namespaces are
 * spread, equally in all replicas. The second delays each replica, in each namespace differently, so that the others see
 * the write of the first replica, and the next one takes over minutes later if the first is gone. Together they are well
 * below the tenth of a lifetime in which a token is new, so that one token serves all namespaces.
 */
const namespaceSpreadFraction = 0.06;
const replicaDelayFraction = 0.03;

/** How long {@link jitterAfter} spreads replicas over, in ms. */
const maxJitterMs = 3_000;

/**
 * How long after the start of a replica another one with an older configuration may still store tokens, in ms: until a rolling
 * update has stopped it, or by a clock ahead. Shorter than {@link clockSkewMs}, so that {@link isReplaceable} agrees.
 */
const rolloutMs = 4 * 60_000;

/** A host as a Secret holds it. */
export interface StoredHost {
  readonly namespace: string;
  readonly host: string;
  /** Of the stored token; undefined: there is none. */
  readonly lifetime: StoredLifetime | undefined;
  /** When this state of the Secret was first observed, in ms by the monotonic clock. */
  readonly observedAt: number;
  /** Which identity applies now. */
  readonly decision: IdentityDecision;
}

/** Computes when a host is due: the earliest time for which there is a reason. */
export function computeDueTime(stored: StoredHost, now: ClockReading, rules: ScheduleRules): DueTime {
  const { namespace, host, lifetime, observedAt, decision } = stored;
  if (decision.access === 'denied') {
    return { at: computePromptTime(namespace, observedAt, now, rules), reason: 'denied' };
  }
  if (lifetime === undefined) {
    return { at: computePromptTime(namespace, observedAt, now, rules), reason: 'missing-token' };
  }
  if (!isUnexpired(lifetime.expiresAt, now.wallMs)) {
    return { at: now.wallMs, reason: 'expired' };
  }
  const freshUntil = getFreshUntil(lifetime, rules.freshness);
  const delayMs = computeDelayMs(lifetime.expiresAt - freshUntil, namespace, rules.replica);
  let first: DueTime = { at: freshUntil + delayMs, reason: 'scheduled' };
  const considerAt = (at: number, reason: DueReason) => {
    if (at < first.at) {
      first = { at, reason };
    }
  };
  // the age at the first observation is unknown, but since then the token has aged by the monotonic clock
  const freshMs = freshUntil - lifetime.issuedAt;
  considerAt(toWallMs(observedAt + freshMs + delayMs, now), 'clock-set-back');
  if (hasOtherIdentity(lifetime, decision)) {
    considerAt(computeIdentityTime(lifetime, stored, now, rules), 'role-changed');
  }
  const token = rules.cachedToken(namespace, host, decision);
  if (token !== undefined && isNew(token, now.wallMs) && expiresMuchLater(token, lifetime)) {
    considerAt(token.issuedAt + delayMs, 'newer-token');
  }
  return first;
}

/** When this replica renews a token by its lifetime alone, in ms since the epoch. */
export function computeScheduledTime(
  lifetime: Validity,
  namespace: string,
  { freshness, replica }: Pick<ScheduleRules, 'freshness' | 'replica'>,
): number {
  const freshUntil = getFreshUntil(lifetime, freshness);
  return freshUntil + computeDelayMs(lifetime.expiresAt - freshUntil, namespace, replica);
}

/** Whether another identity applies than the one that fetched the token. */
function hasOtherIdentity({ identity }: StoredLifetime, decision: IdentityDecision): boolean {
  return decision.access === 'allowed' && decision.identity.fingerprint !== identity;
}

/**
 * When a token of another identity than the one that applies is replaced: promptly if it was fetched or first observed before
 * this process knew that. Otherwise another replica, which knows other rules or facts, has just stored it, and the two would
 * replace each other's tokens without end. If that was during a rolling update, the replica that started last replaces it when
 * the others are gone.
 * @returns ms since the epoch; infinite: only when it is no longer fresh
 */
function computeIdentityTime(
  lifetime: StoredLifetime,
  { namespace, observedAt }: StoredHost,
  now: ClockReading,
  rules: ScheduleRules,
): number {
  const { startedAt, identityChangedAt } = rules;
  const changedAt = identityChangedAt(namespace) ?? Number.NEGATIVE_INFINITY;
  const isOlder =
    lifetime.issuedAt < startedAt || lifetime.issuedAt <= changedAt || toWallMs(observedAt, now) <= changedAt;
  const promptTime = computePromptTime(namespace, observedAt, now, rules);
  if (isOlder) {
    return promptTime;
  }
  const rolledOutAt = startedAt + rolloutMs;
  return lifetime.issuedAt < rolledOutAt ? Math.max(promptTime, rolledOutAt) : Number.POSITIVE_INFINITY;
}

/**
 * When to act on a state of a Secret without further delay: shortly after it was observed, or after the identities of the
 * namespace changed, at a different time in each replica. A change in the future was seen before the clock was set back, so it
 * does not delay anything.
 * @returns ms since the epoch
 */
export function computePromptTime(
  namespace: string,
  observedAt: number,
  now: ClockReading,
  { replica, identityChangedAt }: Pick<ScheduleRules, 'replica' | 'identityChangedAt'>,
): number {
  const afterObservation = jitterAfter(observedAt, namespace, now, replica);
  const changedAt = identityChangedAt(namespace);
  return changedAt === undefined || changedAt > now.wallMs
    ? afterObservation
    : Math.max(afterObservation, changedAt + computeJitterMs(namespace, replica));
}

function computeDelayMs(remainingMs: number, namespace: string, replica: string): number {
  return (
    remainingMs *
    (namespaceSpreadFraction * hashFraction(namespace) +
      replicaDelayFraction * hashFraction(`${replica}/${namespace}`))
  );
}

/**
 * A time shortly after an urgent observation, different for each replica, so that the replicas do not all write at once.
 * @param observedAt in ms by the monotonic clock
 * @returns ms since the epoch
 */
export function jitterAfter(
  observedAt: number,
  namespace: string,
  now: ClockReading,
  replica: string,
): number {
  return toWallMs(observedAt + computeJitterMs(namespace, replica), now);
}

function computeJitterMs(namespace: string, replica: string): number {
  return maxJitterMs * hashFraction(`${replica}/${namespace}`);
}

/**
 * How long to wait at most after a failed call before the next one, in ms: a twentieth of the remaining lifetime of the
 * stored token, so that many retries fit before it expires, but at least 5 s. Unbounded if no stored token can be saved.
 */
export function maxRetryDelayMs(expiresAt: number | undefined, now: number): number {
  const remainingMs = expiresAt === undefined ? 0 : expiresAt - now;
  return remainingMs > 0 ? Math.max(5_000, remainingMs / 20) : Number.POSITIVE_INFINITY;
}

/** Converts a time of the monotonic clock to ms since the epoch. */
export function toWallMs(monotonicMs: number, now: ClockReading): number {
  return now.wallMs + (monotonicMs - now.monotonicMs);
}
