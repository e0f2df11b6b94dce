// Issuers of ServiceAccount tokens: one with a key of its own, and a cluster.
import assert from 'node:assert/strict';
import { generateKeyPairSync, type JsonWebKey, sign } from 'node:crypto';
import { getField, getItems } from '../../src/util/json.ts';
import type { Cluster } from '../cluster/cluster.ts';
import type { OidcProvider } from '../doubles/ecr/sts-sessions.ts';

export interface OidcIssuer {
  readonly issuer: string;
  /** The keys as the `jwks_uri` of the issuer returns them. */
  readonly keys: readonly JsonWebKey[];
  /** @param now in ms since the epoch; the token expires an hour later */
  issueToken(namespace: string, serviceAccount: string, audience: string, now?: number): string;
}

/** Issues tokens as an API server does. */
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

/** A cluster as the only OIDC provider of IAM, by its issuer. */
export async function readOidcProviders(
  cluster: Cluster,
  audience: string,
): Promise<Record<string, OidcProvider>> {
  const read = async (path: string, accept: string) => {
    const { status, body } = await cluster.request('GET', path, undefined, { accept });
    assert.equal(status, 200, path);
    return body;
  };
  const configuration = await read('/.well-known/openid-configuration', 'application/json');
  const keys = getItems(getField(await read('/openid/v1/jwks', 'application/jwk-set+json'), 'keys'));
  const provider = { audiences: [audience], keys: keys as OidcProvider['keys'] };
  return { [String(getField(configuration, 'issuer'))]: provider };
}
