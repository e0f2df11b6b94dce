// Calls GetAuthorizationToken with a bounded number of AWS clients.
import { LRUCache } from 'lru-cache';
import { productName } from '../labels.ts';
import { withTimeout } from '../util/timeout.ts';
import type { Environment } from './aws-settings.ts';
import type { EndpointTrust } from './call-queue.ts';
import { CredentialError, classifyCredentialError } from './credential-error.ts';
import { createCredentialSource, type RequestToken } from './credentials.ts';
import { type CallTimeouts, createSharedHttpHandler, getTotalMs } from './http-handler.ts';
import { getEndpointKey, type Identity } from './identity.ts';
import { createPrivateTokenApi } from './private-token-api.ts';
import type { Registry } from './registry.ts';
import { parseAuthorization, type Token } from './token.ts';
import type { FoundSettings, TokenApi, TokenApiOptions } from './token-api.ts';
import { classifyTokenApiError, isCredentialError, type TokenError } from './token-error.ts';

export interface EcrTokenClientOptions {
  /** The environment of the process, for proxies and `AWS_ROLE_ARN`. The SDK reads its own variables itself. */
  readonly environment: Environment;
  /**
   * A claimed endpoint gets half of `totalMs` and an unproven one a quarter. Getting the credentials may take another half of it
   * before the call.
   */
  readonly timeouts: CallTimeouts;
  /** Max SDK clients, and max roles whose sessions are cached. */
  readonly maxClients: number;
  /** For identities with a web identity; by default, they get no token. */
  readonly requestToken?: RequestToken | undefined;
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
 * Minimum time between two reloads of the credentials because of unproven endpoints, and of identities of which users can cause
 * any number, in ms. A disabled region rejects valid credentials with UnrecognizedClientException, and every user who can create
 * pods can name a region.
 */
const credentialReloadIntervalMs = 60_000;

/**
 * Creates the client of the ECR API. It keeps one SDK client for each identity, region and kind of endpoint, except for identities
 * of which users can cause any number: they call once in half a token's lifetime, so their clients would only take memory.
 */
export function createEcrTokenClient(options: EcrTokenClientOptions): EcrTokenClient {
  const { environment, timeouts, now } = options;
  const totalMs = getTotalMs(timeouts);
  const http = createSharedHttpHandler(timeouts, environment);
  const credentials = createCredentialSource({
    http,
    environment,
    timeoutMs: totalMs / 2,
    maxRoles: options.maxClients,
    requestToken: options.requestToken,
    now,
  });
  const apis = new LRUCache<string, { readonly api: TokenApi; readonly profile: string | undefined }>({
    max: options.maxClients,
    dispose: ({ api }) => api.destroy(),
  });
  /** Profile → kind of registry → the settings for clients that are not kept. */
  const foundSettings = new Map<string | undefined, Partial<Record<Registry['kind'], FoundSettings>>>();
  /** Profile → when its credentials were last reloaded, in ms. */
  const lastReloads = new Map<string | undefined, number>();

  /** Whether to read the credentials again after a failure. */
  function shouldReloadCredentials(failure: TokenError, identity: Identity, trust: EndpointTrust): boolean {
    if (!isCredentialError(failure)) {
      return false;
    }
    const lastReloadAt = lastReloads.get(identity.profile) ?? Number.NEGATIVE_INFINITY;
    const noCredentials = failure.code === 'no-credentials' || failure.code === 'credentials-timeout';
    return (
      identity.webIdentity !== undefined ||
      (!identity.isUnbounded && (noCredentials || trust === 'proven')) ||
      Math.abs(now() - lastReloadAt) >= credentialReloadIntervalMs
    );
  }

  function reloadCredentials(identity: Identity): void {
    credentials.reset(identity);
    if (identity.webIdentity !== undefined) {
      return;
    }
    lastReloads.set(identity.profile, now());
    foundSettings.delete(identity.profile);
    for (const [key, { profile }] of [...apis.entries()]) {
      if (profile === identity.profile) {
        apis.delete(key);
      }
    }
  }

  async function getApi(identity: Identity, registry: Registry): Promise<TokenApi> {
    const key = getEndpointKey(identity, registry);
    const cached = apis.get(key)?.api;
    if (cached !== undefined) {
      return cached;
    }
    const { profile } = identity;
    const api = await createTokenApi(registry, {
      credentials: credentials.getProvider(identity),
      requestHandler: http,
      customUserAgent: productName,
      ...(profile !== undefined && { profile }),
      ...(identity.isUnbounded && foundSettings.get(profile)?.[registry.kind]),
    });
    if (!identity.isUnbounded) {
      apis.set(key, { api, profile });
    } else {
      foundSettings.set(profile, { [registry.kind]: api.foundSettings, ...foundSettings.get(profile) });
    }
    return api;
  }

  async function callApi(identity: Identity, registry: Registry, trust: EndpointTrust): Promise<unknown> {
    const api = await getApi(identity, registry);
    const timeoutMs = totalMs * timeoutFraction[trust];
    try {
      return await withTimeout(timeoutMs, 'TimeoutError', (abortSignal) =>
        api.getAuthorizationToken(abortSignal),
      );
    } catch (error) {
      throw error instanceof CredentialError ? error : classifyTokenApiError(error, registry, identity.rule);
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
        const failure = classifyCredentialError(error, identity, registry.region);
        if (shouldReloadCredentials(failure, identity, trust)) {
          reloadCredentials(identity);
        }
        throw failure;
      }
    },
    close: () => http.close(),
  };
}

/** Creates the API that issues the tokens of a registry. Loads the client of ECR Public only if the registry is public. */
export async function createTokenApi(registry: Registry, options: TokenApiOptions): Promise<TokenApi> {
  if (registry.kind === 'private') {
    return createPrivateTokenApi(registry, options);
  }
  const { createPublicTokenApi } = await import('./public-token-api.ts');
  return createPublicTokenApi(registry, options);
}
