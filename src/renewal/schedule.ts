import type { StoredLife } from '../secrets/annotation.ts';
import { worthwhile } from '../secrets/rules.ts';
import { hash32 } from '../tokens/hash.ts';
import { type Freshness, freshUntil, isNewborn, type Life } from '../tokens/token.ts';

/** Why a host of a Secret is to be renewed. */
export type Reason =
  /** It has no token yet. */
  | 'waiting'
  /** Its token has ended. */
  | 'ended'
  /** Its token is no longer fresh: half of its life is over, unless the operator chose otherwise. */
  | 'half-life'
  /** It was seen for so long that it must be half used, whatever the wall clock says: that was set back. */
  | 'clock'
  /** Another role is to ask for it than the one that did. */
  | 'config-changed'
  /** A new token for its region is there already, and ends much later: so all Secrets of a region stay in step. */
  | 'alongside';

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
  remembered(host: string): Life | undefined;
}

/** The two clocks at one moment, both in ms. */
export interface Moment {
  readonly wall: number;
  /** Never set; only differences mean anything. */
  readonly steady: number;
}

/**
 * Parts of the time that a token has left when it stops being fresh (6 h, usually): over the first all namespaces are
 * spread, the same for all replicas; by the second each replica lags behind, another one for each namespace. So the
 * first replica writes, the others see it, and if it is gone the next is minutes behind. Together they are well below
 * the tenth of a life for which a token counts as new, so that one token serves all.
 */
const spread = 0.06;
const lag = 0.03;

/**
 * When a host is due, from what is known of its stored token.
 * @param life of the stored token; undefined: there is none
 * @param seenAt when this state of the Secret was first seen, by the steady clock
 */
export function dueTime(
  namespace: string,
  host: string,
  life: StoredLife | undefined,
  seenAt: number,
  now: Moment,
  rules: ScheduleRules,
): DueTime {
  if (life === undefined) {
    return { at: soonAfter(seenAt, namespace, now, rules.replica), reason: 'waiting' };
  }
  if (life.expiresAt <= now.wall) {
    return { at: now.wall, reason: 'ended' };
  }
  const half = freshUntil(life, rules.freshness);
  const left = life.expiresAt - half;
  const delay = left * (spread * fraction(namespace) + lag * fraction(`${rules.replica}/${namespace}`));
  let first: DueTime = { at: half + delay, reason: 'half-life' };
  const orAt = (at: number, reason: Reason) => {
    if (at < first.at) {
      first = { at, reason };
    }
  };
  // how old it was when it was first seen is not known, but it has aged since
  orAt(now.wall + (seenAt + (half - life.issuedAt) + delay - now.steady), 'clock');
  if (life.identity !== rules.identityOf(host) && life.issuedAt < rules.startedAt) {
    orAt(soonAfter(seenAt, namespace, now, rules.replica), 'config-changed');
  }
  const token = rules.remembered(host);
  if (token !== undefined && isNewborn(token, now.wall) && endsMuchLater(token, life)) {
    orAt(token.issuedAt + delay, 'alongside');
  }
  return first;
}

/** A moment after something was seen that cannot wait, another one for each replica: at most 3 s. */
export function soonAfter(seenAt: number, namespace: string, now: Moment, replica: string): number {
  return now.wall + (seenAt + 3_000 * fraction(`${replica}/${namespace}`) - now.steady);
}

/**
 * How long after a failed call the next one may wait at most, in ms: a twentieth of what the stored token has left, so
 * that there are many more tries before it ends; never less than 5 s. No bound where there is no token to lose.
 */
export function mostWaitMs(endsAt: number | undefined, now: number): number {
  const left = endsAt === undefined ? 0 : endsAt - now;
  return left > 0 ? Math.max(5_000, left / 20) : Number.POSITIVE_INFINITY;
}

function endsMuchLater(token: Life, life: Life): boolean {
  return token.expiresAt - life.expiresAt >= worthwhile * (token.expiresAt - token.issuedAt);
}

/** From 0 to 1, the same for the same text, spread evenly over different ones. */
function fraction(text: string): number {
  return hash32(text) / 2 ** 32;
}
