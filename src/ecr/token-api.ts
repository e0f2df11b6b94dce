// The contract of the APIs that issue tokens, and the settings of their clients.
import type { ECRClientConfig } from '@aws-sdk/client-ecr';
import type { Registry } from './registry.ts';

/** An API that issues tokens. */
export interface TokenApi {
  /** Calls GetAuthorizationToken. Resolves with a response for `parseAuthorization`, and rejects with errors of the SDK. */
  getAuthorizationToken(abortSignal: AbortSignal): Promise<unknown>;
  destroy(): void;
}

/** Settings for the clients of both APIs. */
export type TokenApiOptions = Required<
  Pick<ECRClientConfig, 'credentials' | 'requestHandler' | 'customUserAgent'>
> &
  Pick<ECRClientConfig, 'profile'>;

/**
 * Returns the SDK options for the endpoint of a registry. A configured one replaces that of the environment. For FIPS and
 * dual-stack hosts there are flags, and for other hosts no options, so that the environment decides. The SDK throws if a flag is
 * set together with an endpoint, so flags are only set if neither the configuration nor the environment or profile has one.
 */
export function getEndpointOptions(
  { endpoint, fips, dualStack }: Registry,
  configuredEndpoint: () => Promise<string | undefined> | undefined,
) {
  if (endpoint !== undefined) {
    return { endpoint, useFipsEndpoint: false, useDualstackEndpoint: false };
  }
  const isNotConfigured = async () => (await configuredEndpoint()) === undefined;
  return {
    ...(fips && { useFipsEndpoint: isNotConfigured }),
    ...(dualStack && { useDualstackEndpoint: isNotConfigured }),
  };
}
