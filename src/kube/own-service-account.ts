// Which ServiceAccount this process calls the API server as.
import type { RequestOptions } from 'node:https';
import { isObject } from '../util/json.ts';
import type { ClusterConfig } from './client.ts';

/** A ServiceAccount, as an ownerReference needs it. */
export interface OwnServiceAccount {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/**
 * The ServiceAccount whose token is sent to the API server; undefined where something else than a ServiceAccount token is
 * sent. Needs no right and makes no call, because the token itself names the account.
 */
export async function findOwnServiceAccount(config: ClusterConfig): Promise<OwnServiceAccount | undefined> {
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  const { Authorization: header }: Record<string, unknown> = { ...Object(options.headers) };
  return typeof header === 'string' ? parseServiceAccountToken(header.replace(/^Bearer /, '')) : undefined;
}

/**
 * Reads the claims of a bound ServiceAccount token (k8s.io/kubernetes `pkg/serviceaccount/claims.go`). They are not
 * verified, so they are for tokens of our own only. Never throws.
 */
export function parseServiceAccountToken(token: string): OwnServiceAccount | undefined {
  const claims = parseClaims(token);
  const kubernetes = isObject(claims) ? claims['kubernetes.io'] : undefined;
  const { namespace, serviceaccount } = isObject(kubernetes) ? kubernetes : {};
  const { name, uid } = isObject(serviceaccount) ? serviceaccount : {};
  return typeof namespace === 'string' && typeof name === 'string' && typeof uid === 'string'
    ? { namespace, name, uid }
    : undefined;
}

function parseClaims(token: string): unknown {
  const payload = token.split('.')[1] ?? '';
  try {
    return JSON.parse(Buffer.from(payload, 'base64url').toString());
  } catch {
    // not a JSON web token, such as one of a static token file
    return undefined;
  }
}
