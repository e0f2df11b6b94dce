// The contract of the APIs that issue tokens, and the settings of their clients.
import type { ECRClientConfig } from '@aws-sdk/client-ecr';
import type { Registry } from './registry.ts';

/** An API that issues tokens. */
export interface TokenApi {
  /** Calls GetAuthorizationToken. Resolves with a response for `parseAuthorization`, and rejects with errors of the SDK. */
  getAuthorizationToken(abortSignal: AbortSignal): Promise<unknown>;
  /** What the client has found in the environment and the AWS files. */
  readonly foundSettings: FoundSettings;
  destroy(): void;
}

/**
 * Settings that a client looks up in the environment and in a profile of the AWS files. They are the same for all identities of the
 * profile, and looking them up takes a fifth of the memory that a new client needs.
 */
export type FoundSettings = Partial<
  Pick<ECRClientConfig, (typeof sharedSettings)[number] | 'useDualstackEndpoint'>
>;

/** Not `useFipsEndpoint`, whose provider is always true for a region such as `fips-us-east-1`, which every user can name. */
const sharedSettings = [
  'authSchemePreference',
  'defaultsMode',
  'defaultUserAgentProvider',
  'maxAttempts',
  'retryMode',
  'userAgentAppId',
] as const;

/** Returns the settings that the client of a registry has found, for clients of the same kind of registry. */
export function pickFoundSettings(config: FoundSettings, registry: Registry): FoundSettings {
  const hasOwnFlag = registry.endpoint !== undefined || registry.dualStack;
  return {
    ...Object.fromEntries(sharedSettings.map((name) => [name, config[name]])),
    ...(!hasOwnFlag && { useDualstackEndpoint: config.useDualstackEndpoint }),
  };
}

/** Settings for the clients of both APIs. */
export type TokenApiOptions = Required<
  Pick<ECRClientConfig, 'credentials' | 'requestHandler' | 'customUserAgent'>
> &
  Pick<ECRClientConfig, 'profile'> &
  FoundSettings;

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
