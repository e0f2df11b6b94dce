import { ECRClient } from '@aws-sdk/client-ecr';
import { fromNodeProviderChain, fromTemporaryCredentials } from '@aws-sdk/credential-providers';
import { productName } from '../labels.ts';
import { withTimeout } from '../util/timeout.ts';
import type { Environment } from './aws-settings.ts';
import type { SharedHttpHandler } from './http-handler.ts';
import type { Identity, Role } from './identity.ts';
import { resolveStsRegion } from './partitions.ts';

type SdkProvider = ReturnType<typeof fromNodeProviderChain>;
type Credentials = Awaited<ReturnType<SdkProvider>>;
type CredentialProvider = () => Promise<Credentials>;

/** Credentials are renewed this long before they end, as the SDK does (`credentialsTreatedAsExpired`). */
const refreshBeforeExpiryMs = 300_000;

export interface CredentialsOptions {
  readonly http: SharedHttpHandler;
  readonly environment: Environment;
  /** How long finding credentials may take in ms, whatever has to be asked: STS, node metadata, a process. */
  readonly timeoutMs: number;
  readonly now: () => number;
}

/** The AWS credentials of every identity: one default chain for all, and one assumed role for each. */
export interface CredentialSource {
  /**
   * Credentials of an identity, remembered until shortly before they end. Rejects with the SDK's own errors, or with a
   * CredentialsTimeoutError.
   */
  getProvider(identity: Identity): CredentialProvider;
  /**
   * Reads all credentials anew when they are next needed. Files and environment may have changed; and the SDK's chain
   * remembers a resolution that hangs, and would wait for it for ever.
   */
  reset(): void;
}

/**
 * The SDK's providers are called without the config of the client that asks, and get their HTTP handler and STS
 * region here: else both would come from the client that happens to be the first.
 */
export function createCredentialSource(options: CredentialsOptions): CredentialSource {
  const getRegion = createRegionLookup(options.http);
  const createChain = () => createDefaultChain(options, getRegion);
  let chain = createChain();
  const roleProviders = new Map<string, CredentialProvider>();
  const defaultProvider: CredentialProvider = () =>
    withTimeout(options.timeoutMs, 'CredentialsTimeoutError', () => chain());
  return {
    getProvider: ({ key, role }) => {
      if (role === undefined) {
        return defaultProvider;
      }
      const provider =
        roleProviders.get(key) ?? createRoleProvider(role, defaultProvider, getRegion, options);
      roleProviders.set(key, provider);
      return provider;
    },
    reset: () => {
      chain = createChain();
      roleProviders.clear();
    },
  };
}

function createDefaultChain(
  { http, environment }: CredentialsOptions,
  getRegion: () => Promise<string | undefined>,
) {
  const getStsRegion = async () =>
    resolveStsRegion(environment['AWS_ROLE_ARN'] || undefined, await getRegion());
  return fromNodeProviderChain({
    ignoreCache: true,
    clientConfig: { requestHandler: http },
    parentClientConfig: { requestHandler: http, region: getStsRegion },
  });
}

function createRoleProvider(
  role: Role,
  masterCredentials: CredentialProvider,
  getRegion: () => Promise<string | undefined>,
  { http, timeoutMs: maxMs, now }: CredentialsOptions,
): CredentialProvider {
  const provider = fromTemporaryCredentials({
    masterCredentials,
    clientConfig: {
      requestHandler: http,
      region: async () => resolveStsRegion(role.roleArn, await getRegion()),
    },
    params: {
      RoleArn: role.roleArn,
      RoleSessionName: role.sessionName ?? productName,
      ExternalId: role.externalId,
      Policy: role.sessionPolicy,
    },
  });
  return cacheCredentials(() => withTimeout(maxMs, 'CredentialsTimeoutError', () => provider()), now);
}

/** One call at a time, its result kept until shortly before its end; a failure is not kept. */
function cacheCredentials(fetchCredentials: CredentialProvider, now: () => number): CredentialProvider {
  let cached: Credentials | undefined;
  let inFlight: Promise<Credentials> | undefined;
  return () => {
    if (
      cached !== undefined &&
      now() < (cached.expiration?.getTime() ?? Number.POSITIVE_INFINITY) - refreshBeforeExpiryMs
    ) {
      return Promise.resolve(cached);
    }
    inFlight ??= fetchCredentials()
      .then((credentials) => {
        cached = credentials;
        return credentials;
      })
      .finally(() => {
        inFlight = undefined;
      });
    return inFlight;
  };
}

/** The region that the SDK finds in AWS_REGION, the profile or the node's metadata; undefined if there is none. */
function createRegionLookup(http: SharedHttpHandler): () => Promise<string | undefined> {
  return () => new ECRClient({ requestHandler: http }).config.region().catch(() => undefined);
}
