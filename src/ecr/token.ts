import { getField, getItems } from '../util/json.ts';
import { TokenError } from './token-error.ts';
import { maxLifetimeMs, type Validity } from './token-policy.ts';

/** An ECR token. What it is worth is kept private: nothing but `auth()` shows it. */
export class Token implements Validity {
  readonly issuedAt: number;
  readonly expiresAt: number;
  readonly #auth: string;

  constructor(auth: string, life: Validity) {
    this.#auth = auth;
    this.issuedAt = life.issuedAt;
    this.expiresAt = life.expiresAt;
  }

  /** Base64 of `AWS:PASSWORD`: the `auth` of an `auths` entry. A secret. */
  auth(): string {
    return this.#auth;
  }

  toJSON(): Validity {
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
const maxAuthLength = 16_384;

/**
 * Reads the answer to GetAuthorizationToken as the AWS SDK gives it, believing nothing of it.
 * A token is never taken to live longer than the 12 hours that AWS names: a wall clock that is behind would have it
 * look longer, and it would be used past its end.
 * @param now the wall clock in ms at which the answer came
 * @throws TokenError `bad-answer`, saying what is wrong but nothing of the token
 */
export function parseAuthorization(response: unknown, region: string, now: number): Token {
  const createError = (what: string) =>
    new TokenError({ code: 'bad-answer', region, description: `ECR's answer is unusable: ${what}` });
  const data = getItems(getField(response, 'authorizationData'))[0];
  if (data === undefined) {
    throw createError('it holds no authorizationData');
  }
  const auth = getField(data, 'authorizationToken');
  if (typeof auth !== 'string' || auth === '') {
    throw createError('it holds no authorizationToken');
  }
  const decoded = auth.length <= maxAuthLength ? decodeBase64(auth) : undefined;
  if (decoded === undefined) {
    throw createError(`its authorizationToken is not base64 of at most ${maxAuthLength} characters`);
  }
  if (!/^AWS:[\x21-\x7e]+$/.test(decoded)) {
    throw createError('its authorizationToken does not decode to "AWS:" and a password');
  }
  const expiresAt = getField(data, 'expiresAt');
  if (!(expiresAt instanceof Date) || Number.isNaN(expiresAt.getTime())) {
    throw createError('it holds no expiresAt');
  }
  if (expiresAt.getTime() <= now) {
    throw createError('its expiresAt is in the past by the clock of this machine');
  }
  return new Token(auth, { issuedAt: now, expiresAt: Math.min(expiresAt.getTime(), now + maxLifetimeMs) });
}

/** Strict, where `atob` would pass over white space and missing padding; undefined for anything else. */
function decodeBase64(text: string): string | undefined {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? atob(text) : undefined;
}
