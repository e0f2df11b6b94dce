// When a token is fresh, usable, replaceable and due for renewal. The only place where these are decided.
import { hash32 } from '../util/hash.ts';

/** When a token was received and when it ends, both in ms since the epoch, by the wall clock. */
export interface Validity {
  readonly issuedAt: number;
  readonly expiresAt: number;
}

/** When a token counts as fresh. */
export interface Freshness {
  /** The share of its life that must be left, from 0 to 1. Both official AWS helpers renew at one half. */
  readonly fraction: number;
  /** What must be left in any case, in ms. */
  readonly floorMs: number;
}

/** The lifetime of a token in a Secret. */
export interface StoredLifetime extends Validity {
  /** Fingerprint of the role that fetched it; undefined: the program's own identity. */
  readonly identity?: string;
}

/** AWS: "valid for 12 hours" (Amazon ECR API reference, GetAuthorizationToken). */
export const maxLifetimeMs = 12 * 3_600_000;

/** The share of a life, at its beginning, in which a token is fresh whatever was asked for. */
const newFraction = 0.1;

/**
 * Until when a token has enough of its life left, in ms since the epoch: the larger of a fraction of its life and a
 * floor, but never more than nine tenths of its life, or a token that lives shorter than the floor would be fetched
 * again at every call.
 */
export function getFreshUntil({ issuedAt, expiresAt }: Validity, { fraction, floorMs }: Freshness): number {
  const lifetimeMs = expiresAt - issuedAt;
  return expiresAt - Math.min(Math.max(fraction * lifetimeMs, floorMs), (1 - newFraction) * lifetimeMs);
}

/** Whether a token is at the beginning of its life: fresh, whatever was asked for. */
function isNew({ issuedAt, expiresAt }: Validity, now: number): boolean {
  return Math.abs(now - issuedAt) <= newFraction * (expiresAt - issuedAt);
}

/**
 * Whether a token has enough of its life left: see freshUntil.
 *
 * A clock that has been set back to more than
 * a tenth of the life before `issuedAt` makes the token not fresh, since nobody knows its age any more; otherwise it
 * would count as fresh for as long as the clock was set back.
 */
export function isFresh(lifetime: Validity, now: number, freshness: Freshness): boolean {
  const remaining = lifetime.expiresAt - now;
  const isAgePlausible = remaining <= (1 + newFraction) * (lifetime.expiresAt - lifetime.issuedAt);
  return isUnexpired(lifetime.expiresAt, now) && now <= getFreshUntil(lifetime, freshness) && isAgePlausible;
}

/** Whether a life that somebody may have made up can be that of a valid token: no longer than AWS gives, and not over. */
export function isPlausible({ issuedAt, expiresAt }: Validity, now: number): boolean {
  const remaining = expiresAt - now;
  return (
    expiresAt - issuedAt <= maxLifetimeMs && remaining > 0 && remaining <= (1 + newFraction) * maxLifetimeMs
  );
}

/** Whether a token has not ended yet; all times in ms since the epoch. */
export function isUnexpired(expiresAt: number, now: number): boolean {
  return now < expiresAt;
}

/**
 * Whether a token that is no longer fresh is still good enough for a pod that starts now: the smaller of what
 * `isFresh` takes the larger of is left. Every fresh token is usable.
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

/** A token that ends this share of its life later than the stored one is worth a write, though that one is fresh. */
const minGainFraction = 0.25;

/** Clocks of machines may differ by this much, in ms; Kubernetes' own signer allows for as much. */
const clockSkewMs = 5 * 60_000;

/** What decides whether one token takes the place of another. */
export interface ReplacementRules {
  readonly freshness: Freshness;
  /** Fingerprint of the role that is configured for the host; undefined: the program's own identity. */
  readonly identity: string | undefined;
}

/**
 * Whether a token takes the place of the stored one of a host. It does if it has not expired and one of these is true:
 * - another role fetched the stored one;
 * - the stored one is from a clock ahead of this one, so that its expiry is unknown, and the token is new;
 * - it expires later, and the stored one is no longer fresh or expires much earlier.
 * @param now the wall clock in ms
 */
export function isReplaceable(
  stored: StoredLifetime,
  token: Validity,
  now: number,
  { freshness, identity }: ReplacementRules,
): boolean {
  if (!isUnexpired(token.expiresAt, now)) {
    return false;
  }
  if (stored.identity !== identity) {
    return true;
  }
  if (stored.issuedAt > now + clockSkewMs && isNew(token, now)) {
    return true;
  }
  const gain = token.expiresAt - stored.expiresAt;
  const isMuch = gain >= minGainFraction * (token.expiresAt - token.issuedAt);
  return gain > 0 && (isMuch || now > getFreshUntil(stored, freshness));
}

/** Why a host of a Secret is to be renewed. */
export type Reason =
  /** It has no token yet. */
  | 'missing-token'
  /** Its token has ended. */
  | 'expired'
  /** Its token is no longer fresh: half of its life is over, unless the operator chose otherwise. */
  | 'scheduled'
  /** It was seen for so long that it must be half used, whatever the wall clock says: that was set back. */
  | 'clock-set-back'
  /** Another role is to ask for it than the one that did. */
  | 'role-changed'
  /** A new token for its region is there already, and ends much later: so all Secrets of a region stay in step. */
  | 'newer-token';

/** When and why a host is due. */
export interface DueTime {
  /** ms since the epoch, by the wall clock. */
  readonly at: number;
  readonly reason: Reason;
}

export interface ScheduleRules {
  /** Tells this replica from the others. */
  readonly replica: string;
  readonly freshness: Freshness;
  /** When this process began to run, by the wall clock in ms. */
  readonly startedAt: number;
  /** Fingerprint of the role that asks for a host's tokens; undefined for the program's own identity. */
  identityOf(host: string): string | undefined;
  /** The remembered token of a host's region, which may be old. */
  cachedToken(host: string): Validity | undefined;
}

/** The two clocks at one moment, both in ms. */
export interface ClockReading {
  readonly wallMs: number;
  /** Never set; only differences mean anything. */
  readonly monotonicMs: number;
}

/**
 * Parts of the time that a token has left when it stops being fresh (6 h, usually): over the first all namespaces are
 * spread, the same for all replicas; by the second each replica lags behind, another one for each namespace. So the
 * first replica writes, the others see it, and if it is gone the next is minutes behind. Together they are well below
 * the tenth of a life for which a token counts as new, so that one token serves all.
 */
const namespaceSpreadFraction = 0.06;
const replicaLagFraction = 0.03;

/**
 * When a host is due, from what is known of its stored token.
 * @param lifetime of the stored token; undefined: there is none
 * @param observedAt when this state of the Secret was first seen, by the steady clock
 */
export function computeDueTime(
  namespace: string,
  host: string,
  lifetime: StoredLifetime | undefined,
  observedAt: number,
  now: ClockReading,
  rules: ScheduleRules,
): DueTime {
  if (lifetime === undefined) {
    return { at: jitterAfter(observedAt, namespace, now, rules.replica), reason: 'missing-token' };
  }
  if (lifetime.expiresAt <= now.wallMs) {
    return { at: now.wallMs, reason: 'expired' };
  }
  const freshUntilMs = getFreshUntil(lifetime, rules.freshness);
  const remainingMs = lifetime.expiresAt - freshUntilMs;
  const delayMs =
    remainingMs *
    (namespaceSpreadFraction * hashFraction(namespace) +
      replicaLagFraction * hashFraction(`${rules.replica}/${namespace}`));
  let first: DueTime = { at: freshUntilMs + delayMs, reason: 'scheduled' };
  const considerAt = (at: number, reason: Reason) => {
    if (at < first.at) {
      first = { at, reason };
    }
  };
  // how old it was when it was first seen is not known, but it has aged since
  considerAt(
    now.wallMs + (observedAt + (freshUntilMs - lifetime.issuedAt) + delayMs - now.monotonicMs),
    'clock-set-back',
  );
  if (lifetime.identity !== rules.identityOf(host) && lifetime.issuedAt < rules.startedAt) {
    considerAt(jitterAfter(observedAt, namespace, now, rules.replica), 'role-changed');
  }
  const token = rules.cachedToken(host);
  if (token !== undefined && isNew(token, now.wallMs) && expiresMuchLater(token, lifetime)) {
    considerAt(token.issuedAt + delayMs, 'newer-token');
  }
  return first;
}

/** A moment after something was seen that cannot wait, another one for each replica: at most 3 s. */
export function jitterAfter(
  observedAt: number,
  namespace: string,
  now: ClockReading,
  replica: string,
): number {
  return now.wallMs + (observedAt + 3_000 * hashFraction(`${replica}/${namespace}`) - now.monotonicMs);
}

/**
 * How long after a failed call the next one may wait at most, in ms: a twentieth of what the stored token has left, so
 * that there are many more tries before it ends; never less than 5 s. No bound where there is no token to lose.
 */
export function maxRetryDelayMs(expiresAt: number | undefined, now: number): number {
  const remainingMs = expiresAt === undefined ? 0 : expiresAt - now;
  return remainingMs > 0 ? Math.max(5_000, remainingMs / 20) : Number.POSITIVE_INFINITY;
}

function expiresMuchLater(token: Validity, lifetime: Validity): boolean {
  return token.expiresAt - lifetime.expiresAt >= minGainFraction * (token.expiresAt - token.issuedAt);
}

/** From 0 to 1, the same for the same text, spread evenly over different ones. */
function hashFraction(text: string): number {
  return hash32(text) / 2 ** 32;
}
