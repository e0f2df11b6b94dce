import { field, items } from '../images/unvalidated.ts';
import { TokenError } from './failure.ts';

/** When a token was received and when it ends, both in ms since the epoch, by the wall clock. */
export interface Life {
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

/** An ECR token. What it is worth is kept private: nothing but `auth()` shows it. */
export class Token implements Life {
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly #auth: string;

  constructor(auth: string, life: Life) {
    this.#auth = auth;
    this.issuedAt = life.issuedAt;
    this.expiresAt = life.expiresAt;
  }

  /** Base64 of `AWS:PASSWORD`: the `auth` of an `auths` entry. A secret. */
  auth(): string {
    return this.#auth;
  }

  toJSON(): Life {
    return { issuedAt: this.issuedAt, expiresAt: this.expiresAt };
  }

  toString(): string {
    return `[Token until ${new Date(this.expiresAt).toISOString()}]`;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

/** AWS: "valid for 12 hours" (Amazon ECR API reference, GetAuthorizationToken). */
const longestLifeMs = 12 * 3_600_000;

/** About five times the largest that ECR gives out. */
const longestAuth = 16_384;

/**
 * Reads the answer to GetAuthorizationToken as the AWS SDK gives it, believing nothing of it.
 * A token is never taken to live longer than the 12 hours that AWS names: a wall clock that is behind would have it
 * look longer, and it would be used past its end.
 * @param now the wall clock in ms at which the answer came
 * @throws TokenError `bad-answer`, saying what is wrong but nothing of the token
 */
export function readAuthorization(answer: unknown, region: string, now: number): Token {
  const bad = (what: string) =>
    new TokenError({ code: 'bad-answer', region, happened: `ECR's answer is unusable: ${what}` });
  const data = items(field(answer, 'authorizationData'))[0];
  if (data === undefined) {
    throw bad('it holds no authorizationData');
  }
  const auth = field(data, 'authorizationToken');
  if (typeof auth !== 'string' || auth === '') {
    throw bad('it holds no authorizationToken');
  }
  const decoded = auth.length <= longestAuth ? fromBase64(auth) : undefined;
  if (decoded === undefined) {
    throw bad(`its authorizationToken is not base64 of at most ${longestAuth} characters`);
  }
  if (!/^AWS:[\x21-\x7e]+$/.test(decoded)) {
    throw bad('its authorizationToken does not decode to "AWS:" and a password');
  }
  const expiresAt = field(data, 'expiresAt');
  if (!(expiresAt instanceof Date) || Number.isNaN(expiresAt.getTime())) {
    throw bad('it holds no expiresAt');
  }
  if (expiresAt.getTime() <= now) {
    throw bad('its expiresAt is in the past by the clock of this machine');
  }
  return new Token(auth, { issuedAt: now, expiresAt: Math.min(expiresAt.getTime(), now + longestLifeMs) });
}

/** Strict, where `atob` would pass over white space and missing padding; undefined for anything else. */
function fromBase64(text: string): string | undefined {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? atob(text) : undefined;
}

/** The share of a life, at its beginning, in which a token is fresh whatever was asked for. */
const newborn = 0.1;

/**
 * Until when a token has enough of its life left, in ms since the epoch: the larger of a fraction of its life and a
 * floor, but never more than nine tenths of its life, or a token that lives shorter than the floor would be fetched
 * again at every call.
 */
export function freshUntil({ issuedAt, expiresAt }: Life, { fraction, floorMs }: Freshness): number {
  const life = expiresAt - issuedAt;
  return expiresAt - Math.min(Math.max(fraction * life, floorMs), (1 - newborn) * life);
}

/** Whether a token is at the beginning of its life: fresh, whatever was asked for. */
export function isNewborn({ issuedAt, expiresAt }: Life, now: number): boolean {
  return Math.abs(now - issuedAt) <= newborn * (expiresAt - issuedAt);
}

/**
 * Whether a token has enough of its life left: see freshUntil.
 *
 * A clock that has been set back to more than
 * a tenth of the life before `issuedAt` makes the token not fresh, since nobody knows its age any more; otherwise it
 * would count as fresh for as long as the clock was set back.
 */
export function isFresh(life: Life, now: number, freshness: Freshness): boolean {
  const remaining = life.expiresAt - now;
  const known = remaining <= (1 + newborn) * (life.expiresAt - life.issuedAt);
  return isAlive(life.expiresAt, now) && now <= freshUntil(life, freshness) && known;
}

/** Whether a life that somebody may have made up can be that of a valid token: no longer than AWS gives, and not over. */
export function isBelievable({ issuedAt, expiresAt }: Life, now: number): boolean {
  const remaining = expiresAt - now;
  return expiresAt - issuedAt <= longestLifeMs && remaining > 0 && remaining <= (1 + newborn) * longestLifeMs;
}

/** Whether a token has not ended yet; all times in ms since the epoch. */
export function isAlive(expiresAt: number, now: number): boolean {
  return now < expiresAt;
}

/**
 * Whether a token that is no longer fresh is still good enough for a pod that starts now: the smaller of what
 * `isFresh` takes the larger of is left. Every fresh token is usable.
 */
export function isUsable(
  { issuedAt, expiresAt }: Life,
  now: number,
  { fraction, floorMs }: Freshness,
): boolean {
  const life = expiresAt - issuedAt;
  const needed = Math.min(fraction * life, floorMs, (1 - newborn) * life);
  return isAlive(expiresAt, now) && expiresAt - now >= needed;
}
