// Provides the AWS credentials of every identity: the SDK's default chain, and roles assumed with it.
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

/** How long before they expire credentials are refreshed, in ms, as in the SDK (`credentialsTreatedAsExpired`). */
const refreshBeforeExpiryMs = 300_000;

export interface CredentialsOptions {
  readonly http: SharedHttpHandler;
  readonly environment: Environment;
  /** How long getting credentials may take, in ms: from STS, the node's metadata or a process. */
  readonly timeoutMs: number;
  /** The wall clock in ms. */
  readonly now: () => number;
}

export interface CredentialSource {
  /**
   * Returns the provider of an identity's credentials, which are cached until shortly before they expire. The provider
   * rejects with errors of the SDK, or with an error named `CredentialsTimeoutError`.
   */
  getProvider(identity: Identity): CredentialProvider;
  /**
   * Discards all cached credentials. Files and environment may have changed, and the SDK's chain would wait forever for
   * a resolution that hangs.
   */
  reset(): void;
}

/**
 * The SDK's providers get their HTTP handler and STS region here. Otherwise they would take both from the client that
 * happens to call them first, and its region comes from an image name.
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
  { http, timeoutMs, now }: CredentialsOptions,
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
  return cacheCredentials(() => withTimeout(timeoutMs, 'CredentialsTimeoutError', () => provider()), now);
}

/** Coalesces calls, and caches credentials until shortly before they expire. Failures are not cached. */
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
