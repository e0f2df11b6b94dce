import { CallQueue, type EndpointTrust, type QueuedCall } from './call-queue.ts';
import { getEndpointKey, type Identity } from './identity.ts';
import type { Registry } from './registry.ts';
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

/** One call of GetAuthorizationToken that has ended. */
export interface TokenCall {
  readonly identity: string;
  readonly region: string;
  /** `success` or the failure's code. */
  readonly outcome: string;
  readonly durationMs: number;
  readonly failure?: TokenError;
  /** The call failed, and a token that still lives was given out in its place. */
  readonly servedOld: boolean;
}

export interface TokenSourceOptions extends TokenCacheOptions {
  resolveIdentity(registry: Registry): Identity;
  /** Calls AWS. Has to end by itself, sooner for an endpoint of a lower trust. */
  fetchToken(identity: Identity, registry: Registry, trust: EndpointTrust): Promise<Token>;
  /** What is known of a registry's endpoint from which this process has no token yet; `unproven` if not given. */
  getEndpointTrust?(registry: Registry): EndpointTrust;
  readonly freshness: Freshness;
  /** A monotonic clock, in ms. */
  monotonicNow(): number;
  onCall?(call: TokenCall): void;
}

/** What is wanted of a token beside that it is fresh. */
interface GetTokenOptions {
  /** The namespace that needs the token. What it may ask of endpoints that are not proven is bounded. */
  readonly namespace?: string;
  /** What must be left of its life beside what makes it fresh, in ms; never more than a new token has. */
  readonly minRemainingMs?: number;
  /** After a failure, ask again this many ms after it, though the region is to be left alone for longer. */
  readonly maxRetryDelayMs?: number;
}

export interface TokenSource {
  /**
   * A token for a registry: the remembered one while it is fresh, else a new one. If none can be had, the remembered
   * one while it lives, so look at its end. After a failure the region is left alone for a while, in which the
   * answer comes at once.
   * @throws TokenError, with `retryAt` if AWS was asked
   */
  get(registry: Registry, options?: GetTokenOptions): Promise<Token>;
  /** The life of the remembered token of a registry, which may have ended. Asks nobody. */
  getCached(registry: Registry): Validity | undefined;
  /** Why the last call for a registry failed; undefined: it did not, or there was none. */
  getFailure(registry: Registry): FailureState | undefined;
  snapshot(): TokenState[];
}

/**
 * Remembers tokens by identity, region and kind of endpoint, since one token serves every account of a region, and
 * asks AWS once for any number of callers.
 *
 * Calls in flight stand in a map and not in the cache (lru-cache's `fetchMethod`): there a made-up region would push
 * out a token for as long as its call hangs, and a full cache would cancel calls that others wait for.
 */
export function createTokenSource(options: TokenSourceOptions): TokenSource {
  const { freshness, now, getEndpointTrust = () => 'unproven' } = options;
  const cache = new TokenCache(options);
  const inFlight = new Map<string, QueuedCall<Token>>();
  const queue = new CallQueue(() => options.monotonicNow());

  const getKey = (registry: Registry) => getEndpointKey(options.resolveIdentity(registry), registry);

  async function fetchAndRecord(
    caller: Caller,
    trust: EndpointTrust,
    fetchToken: () => Promise<Token>,
  ): Promise<Token> {
    const startedAt = performance.now();
    const result = await fetchOrClassify(fetchToken, caller.region);
    const durationMs = performance.now() - startedAt;
    const { identity, region } = caller;
    if (!(result instanceof TokenError)) {
      cache.recordSuccess(caller, result);
      options.onCall?.({ identity, region, outcome: 'success', durationMs, servedOld: false });
      return result;
    }
    const failure = cache.recordFailure(caller, result, trust);
    const cachedToken = cache.getUnexpiredToken(caller.key);
    const servedOld = cachedToken !== undefined;
    options.onCall?.({ identity, region, outcome: failure.code, durationMs, failure, servedOld });
    return cachedToken ?? Promise.reject(failure);
  }

  function startCall(namespace: string, registry: Registry): Promise<Token> {
    const identity = options.resolveIdentity(registry);
    const key = getEndpointKey(identity, registry);
    const { region } = registry;
    const trust = cache.getToken(key) === undefined ? getEndpointTrust(registry) : 'proven';
    const caller = { key, identity: identity.key, region };
    const fetchToken = () =>
      fetchAndRecord(caller, trust, () => options.fetchToken(identity, registry, trust));
    const serializeBy = JSON.stringify([identity.key, region]);
    const queued =
      trust === 'proven'
        ? queue.addProven(serializeBy, fetchToken)
        : queue.addUntrusted(namespace, trust, serializeBy, fetchToken);
    if (queued === undefined) {
      return Promise.reject(new TokenError({ code: 'too-many-regions', region }));
    }
    inFlight.set(key, queued);
    return queued.result.finally(() => inFlight.delete(key));
  }

  return {
    async get(
      registry,
      { namespace = '', minRemainingMs = 0, maxRetryDelayMs = Number.POSITIVE_INFINITY } = {},
    ) {
      const key = getKey(registry);
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
      return await startCall(namespace, registry);
    },
    getCached: (registry) => cache.getToken(getKey(registry)),
    getFailure: (registry) => cache.getFailure(getKey(registry)),
    snapshot: () => cache.snapshot(),
  };
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
