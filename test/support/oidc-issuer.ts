// Issues ServiceAccount tokens as an API server does, with a key of its own.
import { generateKeyPairSync, type JsonWebKey, sign } from 'node:crypto';

export interface OidcIssuer {
  readonly issuer: string;
  /** The keys as the `jwks_uri` of the issuer returns them. */
  readonly keys: readonly JsonWebKey[];
  /** @param now in ms since the epoch; the token expires an hour later */
  issueToken(namespace: string, serviceAccount: string, audience: string, now?: number): string;
}

export function createOidcIssuer(issuer = 'https://issuer.example.com'): OidcIssuer {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
  return {
    issuer,
    keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'a' }],
    issueToken(namespace, serviceAccount, audience, now = Date.now()) {
      const claims = {
        iss: issuer,
        sub: `system:serviceaccount:${namespace}:${serviceAccount}`,
        aud: [audience],
        exp: Math.floor(now / 1000) + 3600,
      };
      const signed = `${encode({ alg: 'RS256', kid: 'a' })}.${encode(claims)}`;
      return `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`;
    },
  };
}
