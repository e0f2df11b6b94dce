import { field, items } from '../util/json.ts';
import { TokenError } from './token-error.ts';
import { type Life, longestLifeMs } from './token-policy.ts';

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
