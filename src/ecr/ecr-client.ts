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
  /** The process's environment, for its proxies and `AWS_ROLE_ARN`. The SDK reads what is its own by itself. */
  readonly environment: Environment;
  /**
   * `totalMs`: the whole call with the SDK's retries. Half of it is for an endpoint that a Secret claims, and a quarter for
   * one that is not proven. Finding credentials may take another half of it before that.
   */
  readonly timeouts: Timeouts & { readonly totalMs: number };
  readonly maxClients: number;
  /** The wall clock in ms. */
  readonly now: () => number;
}

export interface EcrTokenClient {
  /** Calls GetAuthorizationToken. Rejects with TokenError only. */
  fetchToken(identity: Identity, registry: Registry, trust: EndpointTrust): Promise<Token>;
  /** Ends all connections. */
  close(): void;
}

/** Which part of the whole time a call may take. */
const timeoutFraction: Readonly<Record<EndpointTrust, number>> = { proven: 1, claimed: 0.5, unproven: 0.25 };

/**
 * Endpoints that are not proven may have the credentials read again once in this time, in ms: a disabled region answers
 * UnrecognizedClientException to good credentials, and everyone who can write an image name can name one.
 */
const credentialReloadIntervalMs = 60_000;

/** The edge to AWS: a bounded number of clients, one for each identity, region and kind of endpoint. */
export function createEcrTokenClient(options: EcrTokenClientOptions): EcrTokenClient {
  const { environment, timeouts, now } = options;
  const http = createSharedHttpHandler(timeouts, environment);
  const credentials = createCredentialSource({ http, environment, timeoutMs: timeouts.totalMs / 2, now });
  const clients = new LRUCache<string, ECRClient>({
    max: options.maxClients,
    dispose: (client) => client.destroy(),
  });
  let lastReloadAt = Number.NEGATIVE_INFINITY;

  /** Whether a failure is a reason to read the credentials again. */
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
        // first and with a limit of their own, so that slow credentials are not taken for a slow endpoint
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
 * A FIPS or dual-stack host gets an endpoint of its kind; for any other the flags are left out, so that the
 * environment decides. The SDK throws on a flag together with an endpoint that is configured by environment or
 * profile, so it is asked about that itself.
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
