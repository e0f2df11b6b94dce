import type { Registry } from '../images/registry.ts';
import { classify, TokenError } from './failure.ts';
import { endpointKey, type Identity } from './identity.ts';
import { type Asker, type LastingFailure, Memory, type MemoryOptions, type TokenState } from './memory.ts';
import { type Freshness, isFresh, type Life, type Token } from './token.ts';
import { turns } from './turns.ts';

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
  /** Calls AWS. Has to end by itself. */
  fetch(identity: Identity, registry: Registry): Promise<Token>;
  readonly freshness: Freshness;
  onCall?(call: TokenCall): void;
}

/** What is wanted of a token beside that it is fresh. */
interface TokenWish {
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
 * Calls under way stand in a map and not in the cache (lru-cache's `fetchMethod`): there a made-up region would push
 * out a token for as long as its call hangs, and a full cache would cancel calls that others wait for.
 */
export function tokenSource(options: TokenSourceOptions): TokenSource {
  const { freshness, maxKeys, now } = options;
  const memory = new Memory(options);
  const underWay = new Map<string, Promise<Token>>();
  const inTurn = turns();

  const keyOf = (registry: Registry) => endpointKey(options.identityOf(registry), registry);

  async function call(asker: Asker, ask: () => Promise<Token>): Promise<Token> {
    const started = performance.now();
    const result = await outcomeOf(ask, asker.region);
    const durationMs = performance.now() - started;
    const { identity, region } = asker;
    if (!(result instanceof TokenError)) {
      memory.succeeded(asker, result);
      options.onCall?.({ identity, region, outcome: 'success', durationMs, servedOld: false });
      return result;
    }
    const failure = memory.failed(asker, result);
    const old = memory.livingToken(asker.key);
    const servedOld = old !== undefined;
    options.onCall?.({ identity, region, outcome: failure.code, durationMs, failure, servedOld });
    return old ?? Promise.reject(failure);
  }

  function start(asker: Asker, ask: () => Promise<Token>): Promise<Token> {
    const { key, identity, region } = asker;
    const proven = memory.token(key) !== undefined;
    if (!proven && underWay.size >= maxKeys) {
      return Promise.reject(new TokenError({ code: 'too-many-regions', region }));
    }
    const lane = JSON.stringify([identity, region]);
    const result = inTurn({ lane, proven }, () => call(asker, ask)).finally(() => underWay.delete(key));
    underWay.set(key, result);
    return result;
  }

  return {
    async get(registry, { minRemainingMs = 0, mostWaitMs = Number.POSITIVE_INFINITY } = {}) {
      const identity = options.identityOf(registry);
      const key = endpointKey(identity, registry);
      const token = memory.token(key);
      const wish = { ...freshness, floorMs: Math.max(freshness.floorMs, minRemainingMs) };
      if (token !== undefined && isFresh(token, now(), wish)) {
        return token;
      }
      const joined = underWay.get(key);
      if (joined !== undefined) {
        return await joined;
      }
      const failure = memory.waitingFor(key, mostWaitMs);
      if (failure !== undefined) {
        return memory.livingToken(key) ?? Promise.reject(failure);
      }
      const asker = { key, identity: identity.key, region: registry.region };
      return await start(asker, () => options.fetch(identity, registry));
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
