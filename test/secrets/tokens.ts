import { Token } from '../../src/ecr/token.ts';

export const hour = 3_600_000;

/** An obviously fake token of 12 hours that was received at `issuedAt`, in ms. */
export function fakeToken(password: string, issuedAt: number, lifeMs = 12 * hour): Token {
  return new Token(btoa(`AWS:${password}`), { issuedAt, expiresAt: issuedAt + lifeMs });
}
