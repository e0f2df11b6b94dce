import { CallQueue, type QueuedCall, type Standing } from './call-queue.ts';
import { endpointKey, type Identity } from './identity.ts';
import type { Registry } from './registry.ts';
import type { Token } from './token.ts';
import {
  type Asker,
  type LastingFailure,
  Memory,
  type MemoryOptions,
  type TokenState,
} from './token-cache.ts';
import { classify, TokenError } from './token-error.ts';
import { type Freshness, isFresh, type Life } from './token-policy.ts';

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

export interface TokenSourceOptions extends MemoryOptions {
  identityOf(registry: Registry): Identity;
  /** Calls AWS. Has to end by itself, sooner for an endpoint of a lower standing. */
  fetch(identity: Identity, registry: Registry, standing: Standing): Promise<Token>;
  /** What is known of a registry's endpoint from which this process has no token yet; `unproven` if not given. */
  standingOf?(registry: Registry): Standing;
  readonly freshness: Freshness;
  /** A monotonic clock, in ms. */
  monotonicNow(): number;
  onCall?(call: TokenCall): void;
}

/** What is wanted of a token beside that it is fresh. */
interface TokenWish {
  /** The namespace that needs the token. What it may ask of endpoints that are not proven is bounded. */
  readonly namespace?: string;
  /** What must be left of its life beside what makes it fresh, in ms; never more than a new token has. */
  readonly minRemainingMs?: number;
  /** After a failure, ask again this many ms after it, though the region is to be left alone for longer. */
  readonly mostWaitMs?: number;
}

export interface TokenSource {
  /**
   * A token for a registry: the remembered one while it is fresh, else a new one. If none can be had, the remembered
   * one while it lives, so look at its end. After a failure the region is left alone for a while, in which the
   * answer comes at once.
   * @throws TokenError, with `retryAt` if AWS was asked
   */
  get(registry: Registry, wish?: TokenWish): Promise<Token>;
  /** The life of the remembered token of a registry, which may have ended. Asks nobody. */
  remembered(registry: Registry): Life | undefined;
  /** Why the last call for a registry failed; undefined: it did not, or there was none. */
  failure(registry: Registry): LastingFailure | undefined;
  snapshot(): TokenState[];
}

/**
 * Remembers tokens by identity, region and kind of endpoint, since one token serves every account of a region, and
 * asks AWS once for any number of callers.
 *
 * Calls in flight stand in a map and not in the cache (lru-cache's `fetchMethod`): there a made-up region would push
 * out a token for as long as its call hangs, and a full cache would cancel calls that others wait for.
 */
export function tokenSource(options: TokenSourceOptions): TokenSource {
  const { freshness, now, standingOf = () => 'unproven' } = options;
  const memory = new Memory(options);
  const inFlight = new Map<string, QueuedCall<Token>>();
  const queue = new CallQueue(() => options.monotonicNow());

  const keyOf = (registry: Registry) => endpointKey(options.identityOf(registry), registry);

  async function call(asker: Asker, standing: Standing, ask: () => Promise<Token>): Promise<Token> {
    const started = performance.now();
    const result = await outcomeOf(ask, asker.region);
    const durationMs = performance.now() - started;
    const { identity, region } = asker;
    if (!(result instanceof TokenError)) {
      memory.succeeded(asker, result);
      options.onCall?.({ identity, region, outcome: 'success', durationMs, servedOld: false });
      return result;
    }
    const failure = memory.failed(asker, result, standing);
    const old = memory.livingToken(asker.key);
    const servedOld = old !== undefined;
    options.onCall?.({ identity, region, outcome: failure.code, durationMs, failure, servedOld });
    return old ?? Promise.reject(failure);
  }

  function start(namespace: string, registry: Registry): Promise<Token> {
    const identity = options.identityOf(registry);
    const key = endpointKey(identity, registry);
    const { region } = registry;
    const standing = memory.token(key) === undefined ? standingOf(registry) : 'proven';
    const asker = { key, identity: identity.key, region };
    const fetchToken = () => call(asker, standing, () => options.fetch(identity, registry, standing));
    const serializeBy = JSON.stringify([identity.key, region]);
    const queued =
      standing === 'proven'
        ? queue.addProven(serializeBy, fetchToken)
        : queue.addUntrusted(namespace, standing, serializeBy, fetchToken);
    if (queued === undefined) {
      return Promise.reject(new TokenError({ code: 'too-many-regions', region }));
    }
    inFlight.set(key, queued);
    return queued.result.finally(() => inFlight.delete(key));
  }

  return {
    async get(registry, { namespace = '', minRemainingMs = 0, mostWaitMs = Number.POSITIVE_INFINITY } = {}) {
      const key = keyOf(registry);
      const token = memory.token(key);
      const wish = { ...freshness, floorMs: Math.max(freshness.floorMs, minRemainingMs) };
      if (token !== undefined && isFresh(token, now(), wish)) {
        return token;
      }
      const joined = inFlight.get(key);
      if (joined !== undefined) {
        joined.join(namespace);
        return await joined.result;
      }
      const failure = memory.waitingFor(key, mostWaitMs);
      if (failure !== undefined) {
        return memory.livingToken(key) ?? Promise.reject(failure);
      }
      return await start(namespace, registry);
    },
    remembered: (registry) => memory.token(keyOf(registry)),
    failure: (registry) => memory.failure(keyOf(registry)),
    snapshot: () => memory.snapshot(),
  };
}

async function outcomeOf(ask: () => Promise<Token>, region: string): Promise<Token | TokenError> {
  try {
    return await ask();
  } catch (error) {
    return classify(error, region);
  }
}
