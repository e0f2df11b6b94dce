// Calls GetAuthorizationToken with a bounded number of AWS clients.
import { LRUCache } from 'lru-cache';
import { productName } from '../labels.ts';
import { withTimeout } from '../util/timeout.ts';
import type { Environment } from './aws-settings.ts';
import type { EndpointTrust } from './call-queue.ts';
import { createCredentialSource } from './credentials.ts';
import { createSharedHttpHandler, type Timeouts } from './http-handler.ts';
import { getEndpointKey, type Identity } from './identity.ts';
import { createPrivateTokenApi } from './private-token-api.ts';
import type { Registry } from './registry.ts';
import { parseAuthorization, type Token } from './token.ts';
import type { TokenApi, TokenApiOptions } from './token-api.ts';
import { classifyError, classifyTokenApiError, isCredentialError, type TokenError } from './token-error.ts';

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
  const apis = new LRUCache<string, TokenApi>({
    max: options.maxClients,
    dispose: (api) => api.destroy(),
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

  async function getApi(identity: Identity, registry: Registry): Promise<TokenApi> {
    const key = getEndpointKey(identity, registry);
    const cached = apis.get(key);
    if (cached !== undefined) {
      return cached;
    }
    const api = await createTokenApi(registry, {
      credentials: credentials.getProvider(identity),
      requestHandler: http,
      customUserAgent: productName,
    });
    apis.set(key, api);
    return api;
  }

  async function callApi(identity: Identity, registry: Registry, trust: EndpointTrust): Promise<unknown> {
    const api = await getApi(identity, registry);
    const timeoutMs = timeouts.totalMs * timeoutFraction[trust];
    try {
      return await withTimeout(timeoutMs, 'TimeoutError', (abortSignal) =>
        api.getAuthorizationToken(abortSignal),
      );
    } catch (error) {
      throw classifyTokenApiError(error, registry);
    }
  }

  return {
    async fetchToken(identity, registry, trust) {
      try {
        // first, and with their own timeout, so that slow credentials are not reported as a slow endpoint
        await credentials.getProvider(identity)();
        const response = await callApi(identity, registry, trust);
        return parseAuthorization(response, registry.region, now(), identity.fingerprint);
      } catch (error) {
        const failure = classifyError(error, registry.region);
        if (shouldReloadCredentials(failure, trust)) {
          lastReloadAt = now();
          credentials.reset();
          apis.clear();
        }
        throw failure;
      }
    },
    close: () => http.close(),
  };
}

/**
 * Creates the API that issues the tokens of a registry. Loads the client of ECR Public only if the registry is public.
 * @internal exported for its tests
 */
export async function createTokenApi(registry: Registry, options: TokenApiOptions): Promise<TokenApi> {
  if (registry.kind === 'private') {
    return createPrivateTokenApi(registry, options);
  }
  const { createPublicTokenApi } = await import('./public-token-api.ts');
  return createPublicTokenApi(registry, options);
}
