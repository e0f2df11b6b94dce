// An ECR token, and how it is parsed from the response of GetAuthorizationToken.
import { getField, getItems } from '../util/json.ts';
import { TokenError } from './token-error.ts';
import { maxLifetimeMs, type Validity } from './token-policy.ts';

/** An ECR token. Its password is private: only `auth()` returns it, so no log or error can show it by accident. */
export class Token implements Validity {
  readonly issuedAt: number;
  readonly expiresAt: number;
  /** Fingerprint of the identity that fetched it; undefined: the process's own identity. */
  readonly identity: string | undefined;
  readonly #auth: string;

  constructor(auth: string, { issuedAt, expiresAt }: Validity, identity?: string) {
    this.#auth = auth;
    this.issuedAt = issuedAt;
    this.expiresAt = expiresAt;
    this.identity = identity;
  }

  /** Returns the secret: base64 of `AWS:PASSWORD`, which is the `auth` of an `auths` entry. */
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

/** About five times the length of the longest tokens of ECR. */
const maxAuthLength = 16_384;

/**
 * Parses the response of GetAuthorizationToken, as the AWS SDK returns it, as untrusted input.
 * The lifetime is limited to the 12 hours that AWS documents. Otherwise a wall clock that is behind would make the token
 * seem valid after it expired.
 * @param now when the response arrived, in ms by the wall clock
 * @param identity fingerprint of the identity that fetched the token
 * @throws {TokenError} with code `invalid-response`; its text contains nothing of the token
 */
export function parseAuthorization(
  response: unknown,
  region: string,
  now: number,
  identity: string | undefined,
): Token {
  const createError = (problem: string) =>
    new TokenError({
      code: 'invalid-response',
      region,
      description: `invalid response from ECR: ${problem}`,
    });
  const data = getItems(getField(response, 'authorizationData'))[0];
  if (data === undefined) {
    throw createError('no authorizationData');
  }
  const auth = getField(data, 'authorizationToken');
  if (typeof auth !== 'string' || auth === '') {
    throw createError('no authorizationToken');
  }
  const decoded = auth.length <= maxAuthLength ? decodeBase64(auth) : undefined;
  if (decoded === undefined) {
    throw createError(`authorizationToken is not base64 of at most ${maxAuthLength} characters`);
  }
  if (!/^AWS:[\x21-\x7e]+$/.test(decoded)) {
    throw createError('authorizationToken does not decode to "AWS:" and a password');
  }
  const expiresAt = getField(data, 'expiresAt');
  if (!(expiresAt instanceof Date) || Number.isNaN(expiresAt.getTime())) {
    throw createError('no expiresAt');
  }
  if (expiresAt.getTime() <= now) {
    throw createError('expiresAt is in the past according to the system clock');
  }
  const validity = { issuedAt: now, expiresAt: Math.min(expiresAt.getTime(), now + maxLifetimeMs) };
  return new Token(auth, validity, identity);
}

/** Decodes strictly, while `atob` accepts white space and missing padding. Returns undefined for invalid base64. */
function decodeBase64(text: string): string | undefined {
  return text.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(text) ? atob(text) : undefined;
}
