// Calls GetAuthorizationToken with a bounded number of AWS clients.
import { ECRClient, GetAuthorizationTokenCommand } from '@aws-sdk/client-ecr';
import { LRUCache } from 'lru-cache';
import { productName } from '../labels.ts';
import { withTimeout } from '../util/timeout.ts';
import type { Environment } from './aws-settings.ts';
import type { EndpointTrust } from './call-queue.ts';
import { createCredentialSource } from './credentials.ts';
import { createSharedHttpHandler, type Timeouts } from './http-handler.ts';
import { getEndpointKey, type Identity } from './identity.ts';
import type { Registry } from './registry.ts';
import { parseAuthorization, type Token } from './token.ts';
import { classifyError, isCredentialError, type TokenError } from './token-error.ts';

export interface EcrTokenClientOptions {
  /** The environment of the process, for proxies and `AWS_ROLE_ARN`. The SDK reads its own variables itself. */
  readonly environment: Environment;
  /**
   * `totalMs` bounds a whole call with the SDK's retries. A claimed endpoint gets half of it and an unproven one a quarter.
   * Getting the credentials may take another half of it before the call.
   */
  readonly timeouts: Timeouts & { readonly totalMs: number };
  readonly maxClients: number;
  /** The wall clock in ms. */
  readonly now: () => number;
}

export interface EcrTokenClient {
  /** Calls GetAuthorizationToken. Rejects only with {@link TokenError}. */
  fetchToken(identity: Identity, registry: Registry, trust: EndpointTrust): Promise<Token>;
  /** Closes all connections. */
  close(): void;
}

/** Share of `totalMs` that a call may take. */
const timeoutFraction: Readonly<Record<EndpointTrust, number>> = { proven: 1, claimed: 0.5, unproven: 0.25 };

/**
 * Minimum time between two reloads of the credentials because of unproven endpoints, in ms. A disabled region rejects
 * valid credentials with UnrecognizedClientException, and every user who can create pods can name a region.
 */
const credentialReloadIntervalMs = 60_000;

/** Creates the client of the ECR API. It keeps one SDK client for each identity, region and kind of endpoint. */
export function createEcrTokenClient(options: EcrTokenClientOptions): EcrTokenClient {
  const { environment, timeouts, now } = options;
  const http = createSharedHttpHandler(timeouts, environment);
  const credentials = createCredentialSource({ http, environment, timeoutMs: timeouts.totalMs / 2, now });
  const clients = new LRUCache<string, ECRClient>({
    max: options.maxClients,
    dispose: (client) => client.destroy(),
  });
  let lastReloadAt = Number.NEGATIVE_INFINITY;

  /** Whether to read the credentials again after a failure. */
  function shouldReloadCredentials(failure: TokenError, trust: EndpointTrust): boolean {
    if (!isCredentialError(failure)) {
      return false;
    }
    const noCredentials = failure.code === 'no-credentials' || failure.code === 'credentials-timeout';
    return (
      noCredentials || trust === 'proven' || Math.abs(now() - lastReloadAt) >= credentialReloadIntervalMs
    );
  }

  function getClient(identity: Identity, registry: Registry): ECRClient {
    const key = getEndpointKey(identity, registry);
    const cached = clients.get(key);
    if (cached !== undefined) {
      return cached;
    }
    const client: ECRClient = new ECRClient({
      region: registry.region,
      credentials: credentials.getProvider(identity),
      requestHandler: http,
      customUserAgent: productName,
      ...getEndpointFlags(registry, () => client.config.serviceConfiguredEndpoint?.()),
    });
    clients.set(key, client);
    return client;
  }

  return {
    async fetchToken(identity, registry, trust) {
      try {
        // first, and with their own timeout, so that slow credentials are not reported as a slow endpoint
        await credentials.getProvider(identity)();
        const client = getClient(identity, registry);
        const timeoutMs = timeouts.totalMs * timeoutFraction[trust];
        const response = await withTimeout(timeoutMs, 'TimeoutError', (abortSignal) =>
          client.send(new GetAuthorizationTokenCommand({}), { abortSignal }),
        );
        return parseAuthorization(response, registry.region, now());
      } catch (error) {
        const failure = classifyError(error, registry.region);
        if (shouldReloadCredentials(failure, trust)) {
          lastReloadAt = now();
          credentials.reset();
          clients.clear();
        }
        throw failure;
      }
    },
    close: () => http.close(),
  };
}

/**
 * Returns the SDK options for the endpoint of a FIPS or dual-stack host. For other hosts there are none, so that the
 * environment decides. The SDK throws if a flag is set although the environment or the profile configures an endpoint,
 * so the flags are only set if it does not.
 */
function getEndpointFlags(
  { fips, dualStack }: Registry,
  configuredEndpoint: () => Promise<string | undefined> | undefined,
) {
  const isNotConfigured = async () => (await configuredEndpoint()) === undefined;
  return {
    ...(fips && { useFipsEndpoint: isNotConfigured }),
    ...(dualStack && { useDualstackEndpoint: isNotConfigured }),
  };
}
