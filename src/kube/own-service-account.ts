// Finds the ServiceAccount that this process authenticates with.
import type { RequestOptions } from 'node:https';
import { isObject, parseJsonOrUndefined } from '../util/json.ts';
import type { ClusterConfig } from './client.ts';

/** The ServiceAccount of this process, with the fields of an ownerReference. */
export interface OwnServiceAccount {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/**
 * Returns the ServiceAccount whose token is sent to the API server; undefined if this process authenticates otherwise. Makes no
 * call and needs no permission, because the token names the account.
 */
export async function findOwnServiceAccount(config: ClusterConfig): Promise<OwnServiceAccount | undefined> {
  const options: RequestOptions = {};
  await config.applyToHTTPSOptions(options);
  const { Authorization: header }: Record<string, unknown> = { ...Object(options.headers) };
  return typeof header === 'string' ? parseServiceAccountToken(header.replace(/^Bearer /, '')) : undefined;
}

/**
 * Parses the claims of a bound ServiceAccount token (k8s.io/kubernetes `pkg/serviceaccount/claims.go`). They are not verified,
 * so use this only for this process's own token. Never throws.
 * @internal exported for its tests
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
  // A token of a static token file is not a JSON web token, for example.
  const payload = token.split('.')[1] ?? '';
  return parseJsonOrUndefined(Buffer.from(payload, 'base64url').toString());
}
