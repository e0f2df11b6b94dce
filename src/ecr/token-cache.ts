import { LRUCache } from 'lru-cache';
import { permanentRegionBackoff, tokenRetryMs, transientRegionBackoff } from '../util/backoff.ts';
import type { EndpointTrust } from './call-queue.ts';
import type { Token } from './token.ts';
import type { TokenError } from './token-error.ts';
import { isUnexpired } from './token-policy.ts';

/** Who asks which endpoint of which region. */
export interface Caller {
  /** Tells identity, region and kind of endpoint apart. */
  readonly key: string;
  readonly identity: string;
  readonly region: string;
}

/** What is known of one identity, region and kind of endpoint. */
export interface TokenState {
  readonly identity: string;
  readonly region: string;
  /** End of the token in ms since the epoch; it may have passed. Undefined: there never was one. */
  readonly expiresAt?: number;
  /** Why the last call failed. */
  readonly getFailure?: TokenError;
}

/** A failure that lasts. Times are in ms since the epoch, by the wall clock. */
export interface FailureState {
  readonly error: TokenError;
  /** When the first of the failures in a row was. */
  readonly since: number;
  /** When the last one was. */
  readonly at: number;
  /** When the next call may be made. */
  readonly retryAt: number;
}

interface FailureEntry extends FailureState {
  readonly consecutive: number;
}

interface CacheEntry<T> {
  readonly caller: Caller;
  readonly value: T;
}

export interface TokenCacheOptions {
  /** How many tokens, and how many failures, are kept. */
  readonly maxKeys: number;
  /** The wall clock in ms. */
  now(): number;
  /** Gives a number in [0, 1). */
  random(): number;
}

/** How many failures of endpoints that are not proven are kept: about 1 KB each. */
const maxUntrustedFailures = 1024;

/**
 * Tokens and failures, in bounded caches of their own: everyone who can write an image name can cause a failure, and
 * must not push out a token, nor the failure of an endpoint that others use.
 */
export class TokenCache {
  readonly #tokens: LRUCache<string, CacheEntry<Token>>;
  readonly #failures: LRUCache<string, CacheEntry<FailureEntry>>;
  readonly #untrustedFailures = new LRUCache<string, CacheEntry<FailureEntry>>({ max: maxUntrustedFailures });
  readonly #options: TokenCacheOptions;

  constructor(options: TokenCacheOptions) {
    this.#tokens = new LRUCache({ max: options.maxKeys });
    this.#failures = new LRUCache({ max: options.maxKeys });
    this.#options = options;
  }

  /** The last token, which may have ended. */
  getToken(key: string): Token | undefined {
    return this.#tokens.get(key)?.value;
  }

  getUnexpiredToken(key: string): Token | undefined {
    const token = this.getToken(key);
    return token !== undefined && isUnexpired(token.expiresAt, this.#options.now()) ? token : undefined;
  }

  /** The last failure, unless a call has succeeded since. */
  getFailure(key: string): FailureState | undefined {
    return this.#findFailure(key);
  }

  #findFailure(key: string): FailureEntry | undefined {
    return (this.#failures.get(key) ?? this.#untrustedFailures.get(key))?.value;
  }

  /**
   * The failure because of which this endpoint is left alone for now. A clock that was set back to before the failure
   * ends the wait, or it would last for as long as the clock was set back.
   * @param maxRetryDelayMs ends the wait this long after the failure, though its own is longer
   */
  getBackoffError(key: string, maxRetryDelayMs: number): TokenError | undefined {
    const failure = this.getFailure(key);
    const now = this.#options.now();
    const isBackingOff =
      failure !== undefined &&
      failure.at <= now &&
      now < Math.min(failure.retryAt, failure.at + maxRetryDelayMs);
    return isBackingOff ? failure.error : undefined;
  }

  recordSuccess(caller: Caller, getToken: Token): void {
    this.#tokens.set(caller.key, { caller, value: getToken });
    this.#failures.delete(caller.key);
    this.#untrustedFailures.delete(caller.key);
  }

  /** Gives the failure back with the time from which the endpoint may be asked again. */
  recordFailure(caller: Caller, getFailure: TokenError, trust: EndpointTrust): TokenError {
    const previous = this.#findFailure(caller.key);
    const consecutive = (previous?.consecutive ?? 0) + 1;
    const at = this.#options.now();
    const since = Math.min(previous?.since ?? at, at);
    const policy = getFailure.permanent ? permanentRegionBackoff : transientRegionBackoff;
    const retryAt = at + tokenRetryMs(policy, consecutive, this.#options.random());
    const error = getFailure.withRetryAt(retryAt);
    const failures = trust === 'proven' ? this.#failures : this.#untrustedFailures;
    failures.set(caller.key, { caller, value: { error, since, at, retryAt, consecutive } });
    return error;
  }

  snapshot(): TokenState[] {
    const states = new Map<string, TokenState>();
    for (const { caller, value } of this.#tokens.values()) {
      states.set(caller.key, { ...toTokenState(caller), expiresAt: value.expiresAt });
    }
    for (const { caller, value } of [...this.#untrustedFailures.values(), ...this.#failures.values()]) {
      states.set(caller.key, {
        ...(states.get(caller.key) ?? toTokenState(caller)),
        getFailure: value.error,
      });
    }
    return [...states.values()];
  }
}

function toTokenState({ identity, region }: Caller): TokenState {
  return { identity, region };
}
