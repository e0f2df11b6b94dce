// Calls GetAuthorizationToken of Amazon ECR Public. Loaded only if the public registry is enabled, because it takes memory.
import { ECRPUBLICClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr-public';
import type { Registry } from './registry.ts';
import { getEndpointOptions, pickFoundSettings, type TokenApi, type TokenApiOptions } from './token-api.ts';

/** Creates the API of the public registry. Its response holds one object where that of private registries holds a list. */
export function createPublicTokenApi(registry: Registry, options: TokenApiOptions): TokenApi {
  const client: ECRPUBLICClient = new ECRPUBLICClient({
    ...options,
    region: registry.region,
    ...getEndpointOptions(registry, () => client.config.serviceConfiguredEndpoint?.()),
  });
  return {
    getAuthorizationToken: async (abortSignal) => {
      const { authorizationData } = await client.send(new GetAuthorizationTokenCommand({}), { abortSignal });
      return { authorizationData: [authorizationData] };
    },
    foundSettings: pickFoundSettings(client.config, registry),
    destroy: () => client.destroy(),
  };
}
