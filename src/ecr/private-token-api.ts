// Calls GetAuthorizationToken of Amazon ECR, whose tokens are for private registries.
import { ECRClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr';
import type { Registry } from './registry.ts';
import { getEndpointOptions, pickFoundSettings, type TokenApi, type TokenApiOptions } from './token-api.ts';

/** Creates the API of private registries. */
export function createPrivateTokenApi(registry: Registry, options: TokenApiOptions): TokenApi {
  const client: ECRClient = new ECRClient({
    ...options,
    region: registry.region,
    ...getEndpointOptions(registry, () => client.config.serviceConfiguredEndpoint?.()),
  });
  return {
    getAuthorizationToken: (abortSignal) =>
      client.send(new GetAuthorizationTokenCommand({}), { abortSignal }),
    foundSettings: pickFoundSettings(client.config, registry),
    destroy: () => client.destroy(),
  };
}
