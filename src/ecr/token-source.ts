// Returns cached tokens while they are fresh, and fetches new ones with at most one call in flight per endpoint.
import { LRUCache } from 'lru-cache';
import { CallQueue, type EndpointTrust, type QueuedCall } from './call-queue.ts';
import {
  type DeniedIdentity,
  getEndpointKey,
  type Identity,
  type IdentityDecision,
  type IdentityResolver,
  type UnresolvedIdentity,
} from './identity.ts';
import { getEndpointId, getServiceKey, type Registry } from './registry.ts';
import type { Token } from './token.ts';
import {
  type Caller,
  type FailureState,
  TokenCache,
  type TokenCacheOptions,
  type TokenState,
} from './token-cache.ts';
import { classifyError, TokenError } from './token-error.ts';
import { type Freshness, isFresh, type Validity } from './token-policy.ts';

/** A completed call of GetAuthorizationToken. */
export interface TokenCall {
  readonly identity: string;
  readonly region: string;
  /** `success`, or the code of the failure. */
  readonly outcome: string;
  readonly durationMs: number;
  readonly failure?: TokenError;
  /** Whether the call failed and the cached token, which has not expired, was returned instead. */
  readonly servedCached: boolean;
}

export interface TokenSourceOptions extends TokenCacheOptions {
  readonly resolveIdentity: IdentityResolver;
  /** Calls AWS. Must time out, sooner for an endpoint with less trust. */
  fetchToken(identity: Identity, registry: Registry, trust: EndpointTrust): Promise<Token>;
  /**
   * Returns the trust in an endpoint from which this process has not received a token yet, with any identity; `unproven` by
   * default.
   */
  getEndpointTrust?(registry: Registry): EndpointTrust;
  readonly freshness: Freshness;
  /** A monotonic clock, in ms. */
  monotonicNow(): number;
  onCall?(call: TokenCall): void;
}

/** AWS has about 40 regions with up to four kinds of endpoint each. */
const maxProvenEndpoints = 1_000;

/** What a caller requires besides a fresh token. */
interface GetTokenOptions {
  /** Required remaining lifetime in ms, if it is longer than that of a fresh token. A new token always suffices. */
  readonly minRemainingMs?: number;
  /** Upper bound of the backoff after a failure, in ms. */
  readonly maxRetryDelayMs?: number;
}

export interface TokenSource {
  /**
   * Returns the cached token while it is fresh, and otherwise fetches a new one. If that fails, it returns the cached
   * token until it expires, so callers must check `expiresAt`. During the backoff after a failure, AWS is not called.
   * @param namespace the namespace that needs the token; its calls to endpoints that are not proven are limited
   * @throws {TokenError} with `retryAt` if AWS was called; with the code `denied-by-rule` or an `UnresolvedCode` if no identity
   *   may fetch the token
   */
  get(namespace: string, registry: Registry, options?: GetTokenOptions): Promise<Token>;
  /**
   * Returns the validity of the cached token, which may have expired. Never calls AWS.
   * @param decision which identity applies, if the caller knows it already
   */
  getCached(namespace: string, registry: Registry, decision?: IdentityDecision): Validity | undefined;
  /**
   * Returns why the last call failed; undefined if it succeeded or there was none.
   * @param decision as for `getCached`
   */
  getFailure(namespace: string, registry: Registry, decision?: IdentityDecision): FailureState | undefined;
  snapshot(): TokenState[];
}

/**
 * Caches tokens by identity, region and kind of endpoint, because one token is valid for every account of a region, and
 * coalesces concurrent calls.
 *
 * Calls in flight are kept in a map, not in the cache (`fetchMethod` of lru-cache). In the cache, a made-up region would
 * evict a token while its call hangs, and a full cache would cancel calls that others wait for.
 */
export function createTokenSource(options: TokenSourceOptions): TokenSource {
  const { freshness, now, getEndpointTrust = () => 'unproven' } = options;
  const cache = new TokenCache(options);
  const inFlight = new Map<string, QueuedCall<Token>>();
  const queue = new CallQueue(() => options.monotonicNow());
  /** Endpoints from which any identity has received a token. */
  const provenEndpoints = new LRUCache<string, true>({ max: maxProvenEndpoints });

  /** The key of the cached token and failure; undefined if there are none, or if no identity may fetch one now. */
  const findKey = (
    namespace: string,
    registry: Registry,
    decision = options.resolveIdentity(namespace, registry),
  ) =>
    decision.access !== 'allowed' || (decision.identity.isNamespaced && !cache.hasEntriesOf(namespace))
      ? undefined
      : getEndpointKey(decision.identity, registry);

  async function fetchAndRecord(
    caller: Caller,
    service: string,
    trust: EndpointTrust,
    fetchToken: () => Promise<Token>,
  ): Promise<Token> {
    const startedAt = performance.now();
    const result = await fetchOrClassify(fetchToken, caller.region);
    const durationMs = performance.now() - startedAt;
    const { identity, region } = caller;
    queue.adaptRate(service, result instanceof TokenError && result.code === 'throttled');
    if (!(result instanceof TokenError)) {
      cache.recordSuccess(caller, result);
      options.onCall?.({ identity, region, outcome: 'success', durationMs, servedCached: false });
      return result;
    }
    const failure = cache.recordFailure(caller, result, trust);
    const cachedToken = cache.getUnexpiredToken(caller.key);
    const servedCached = cachedToken !== undefined;
    options.onCall?.({ identity, region, outcome: failure.code, durationMs, failure, servedCached });
    return cachedToken ?? Promise.reject(failure);
  }

  /** @returns undefined if the namespace has reached its limits */
  function enqueue(
    namespace: string,
    { key, isUnbounded }: Identity,
    service: string,
    trust: EndpointTrust,
    call: () => Promise<Token>,
  ): QueuedCall<Token> | undefined {
    const serializeBy = JSON.stringify([key, service]);
    if (trust !== 'proven') {
      return queue.addUntrusted(namespace, trust, serializeBy, call);
    }
    return isUnbounded
      ? queue.addUnbounded(namespace, service, serializeBy, call)
      : queue.addProven(serializeBy, call);
  }

  function startCall(namespace: string, identity: Identity, registry: Registry): Promise<Token> {
    const key = getEndpointKey(identity, registry);
    const { region } = registry;
    const endpoint = getEndpointId(registry);
    const service = getServiceKey(registry);
    const trust = provenEndpoints.has(endpoint) ? 'proven' : getEndpointTrust(registry);
    const caller = {
      ...{ key, identity: identity.key, region, isUnbounded: identity.isUnbounded },
      namespace: identity.isNamespaced ? namespace : undefined,
    };
    const fetchToken = () =>
      fetchAndRecord(caller, service, trust, async () => {
        const token = await options.fetchToken(identity, registry, trust);
        provenEndpoints.set(endpoint, true);
        return token;
      });
    const queued = enqueue(namespace, identity, service, trust, fetchToken);
    if (queued === undefined) {
      const code = trust === 'proven' ? 'too-many-identities' : 'too-many-regions';
      return Promise.reject(new TokenError({ code, region }));
    }
    inFlight.set(key, queued);
    return queued.result.finally(() => inFlight.delete(key));
  }

  return {
    async get(namespace, registry, { minRemainingMs = 0, maxRetryDelayMs = Number.POSITIVE_INFINITY } = {}) {
      const decision = options.resolveIdentity(namespace, registry);
      if (decision.access !== 'allowed') {
        throw createDecisionError(decision, registry.region);
      }
      const key = getEndpointKey(decision.identity, registry);
      const token = cache.getToken(key);
      const required = { ...freshness, floorMs: Math.max(freshness.floorMs, minRemainingMs) };
      if (token !== undefined && isFresh(token, now(), required)) {
        return token;
      }
      const inFlightCall = inFlight.get(key);
      if (inFlightCall !== undefined) {
        inFlightCall.addNamespace(namespace);
        return await inFlightCall.result;
      }
      const failure = cache.getBackoffError(key, maxRetryDelayMs);
      if (failure !== undefined) {
        return cache.getUnexpiredToken(key) ?? Promise.reject(failure);
      }
      return await startCall(namespace, decision.identity, registry);
    },
    getCached: (namespace, registry, decision) => {
      const key = findKey(namespace, registry, decision);
      return key === undefined ? undefined : cache.getToken(key);
    },
    getFailure: (namespace, registry, decision) => {
      const key = findKey(namespace, registry, decision);
      return key === undefined ? undefined : cache.getFailure(key);
    },
    snapshot: () => cache.snapshot(),
  };
}

/** Why there is no token although AWS was not called. */
function createDecisionError(decision: DeniedIdentity | UnresolvedIdentity, region: string): TokenError {
  return decision.access === 'denied'
    ? new TokenError({ code: 'denied-by-rule', region, description: `${decision.rule} denies it` })
    : new TokenError({ code: decision.code, region, description: decision.message });
}

async function fetchOrClassify(
  fetchToken: () => Promise<Token>,
  region: string,
): Promise<Token | TokenError> {
  try {
    return await fetchToken();
  } catch (error) {
    return classifyError(error, region);
  }
}
