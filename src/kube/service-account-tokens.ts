// Requests tokens of ServiceAccounts, which AWS STS exchanges for the credentials of a role.
import type { ClusterConfig } from './client.ts';
import { createCoreApi, withKubeErrors } from './client.ts';
import { KubeError } from './errors.ts';

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
  const api = createCoreApi(config);
  return async (namespace, name, audience) => {
    const operation = `request a token of ServiceAccount ${namespace}/${name}`;
    const body = { spec: { audiences: [audience], expirationSeconds: lifetimeSeconds } };
    const response = await withKubeErrors(operation, () =>
      api.createNamespacedServiceAccountToken({ namespace, name, body }),
    );
    const token: unknown = response.status?.token;
    if (typeof token !== 'string' || token === '') {
      throw new KubeError({ code: 'unknown', operation, detail: 'the response contains no token' });
    }
    return token;
  };
}
