// Requests tokens of ServiceAccounts, which AWS STS exchanges for the credentials of a role.
import { getField } from '../util/json.ts';
import type { ClusterConfig } from './client.ts';
import { KubeError } from './errors.ts';
import { sendJson } from './request.ts';
import { getObjectPath } from './resource.ts';

/** Lifetime of a requested token in seconds: the shortest that the API server accepts. It is used once, within seconds. */
const lifetimeSeconds = 600;

/** Requests a token of a ServiceAccount for one audience. Rejects with {@link KubeError}, which contains nothing of the token. */
export type RequestServiceAccountToken = (
  namespace: string,
  name: string,
  audience: string,
) => Promise<string>;

/** Needs RBAC to create `serviceaccounts/token`, which can be granted for one name. */
export function createServiceAccountTokenRequester(config: ClusterConfig): RequestServiceAccountToken {
  return async (namespace, name, audience) => {
    const operation = `request a token of ServiceAccount ${namespace}/${name}`;
    const response = await sendJson(config, {
      method: 'POST',
      path: `${getObjectPath('serviceaccounts', namespace, name)}/token`,
      body: { spec: { audiences: [audience], expirationSeconds: lifetimeSeconds } },
      operation,
    });
    const token = getField(getField(response, 'status'), 'token');
    if (typeof token !== 'string' || token === '') {
      throw new KubeError({ code: 'unknown', operation, detail: 'the response contains no token' });
    }
    return token;
  };
}
