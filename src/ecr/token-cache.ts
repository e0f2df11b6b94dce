// Caches tokens and failures by identity, region and kind of endpoint.
import { LRUCache } from 'lru-cache';
import { backoffMs, permanentRegionBackoff, transientRegionBackoff } from '../util/backoff.ts';
import type { EndpointTrust } from './call-queue.ts';
import type { Token } from './token.ts';
import type { TokenError } from './token-error.ts';
import { isUnexpired } from './token-policy.ts';

/** An identity together with the endpoint that it calls. */
export interface Caller {
  /** Unique for each identity, region and kind of endpoint: see getEndpointKey. */
  readonly key: string;
  readonly identity: string;
  readonly region: string;
  /** Whether users can cause any number of such identities. */
  readonly isUnbounded: boolean;
  /** The namespace, if the identity belongs to one. */
  readonly namespace?: string | undefined;
}

/** State of one identity, region and kind of endpoint. */
export interface TokenState {
  readonly identity: string;
  readonly region: string;
  /** When the last token expires or expired, in ms since the epoch; undefined: there was none. */
  readonly expiresAt?: number;
  /** Why the last call failed; undefined: it succeeded. */
  readonly failure?: TokenError;
}

/** The failure of the last call. Times are in ms since the epoch by the wall clock. */
export interface FailureState {
  readonly error: TokenError;
  /** When the first of the consecutive failures occurred. */
  readonly since: number;
  /** When the last of them occurred. */
  readonly at: number;
  /** When the next call is allowed. */
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
  /** Max tokens, and max failures of proven endpoints; twice: identities of which users can cause any number have their own. */
  readonly maxKeys: number;
  /** The wall clock in ms. */
  now(): number;
  /** Returns a number in [0, 1). */
  random(): number;
}

/** Max failures of endpoints that are not proven, of about 1 KB each. */
const maxUntrustedFailures = 1024;

/** Max failures of identities of which users can cause any number. Beyond that, the backoff of the namespaces remains. */
const maxUnboundedFailures = 4096;

/**
 * Tokens, failures of proven endpoints, and other failures, each in a bounded cache: every user who can create pods can
 * cause failures, and must not evict a token or the failure of an endpoint that others use. For the same reason, identities of
 * which users can cause any number have caches of their own. Their tokens are needed for seconds only: the Secrets keep them.
 */
export class TokenCache {
  readonly #tokens: LRUCache<string, CacheEntry<Token>>;
  readonly #unboundedTokens: LRUCache<string, CacheEntry<Token>>;
  readonly #failures: LRUCache<string, CacheEntry<FailureEntry>>;
  readonly #unboundedFailures: LRUCache<string, CacheEntry<FailureEntry>>;
  /** Namespace → the number of its tokens and failures, of identities that belong to one namespace. */
  readonly #entryCounts = new Map<string, number>();
  readonly #untrustedFailures = new LRUCache<string, CacheEntry<FailureEntry>>({ max: maxUntrustedFailures });
  readonly #options: TokenCacheOptions;

  constructor(options: TokenCacheOptions) {
    this.#tokens = new LRUCache({ max: options.maxKeys });
    const dispose = ({ caller }: CacheEntry<unknown>) => this.#count(caller, -1);
    this.#unboundedTokens = new LRUCache<string, CacheEntry<Token>>({ max: options.maxKeys, dispose });
    this.#unboundedFailures = new LRUCache<string, CacheEntry<FailureEntry>>({
      max: maxUnboundedFailures,
      dispose,
    });
    this.#failures = new LRUCache({ max: options.maxKeys });
    this.#options = options;
  }

  /**
   * Whether there may be a token or a failure of an identity that belongs to the namespace. Cheaper than the key of the identity,
   * which a plan would need for each of 10,000 namespaces.
   */
  hasEntriesOf(namespace: string): boolean {
    return this.#entryCounts.has(namespace);
  }

  #count({ namespace }: Caller, change: 1 | -1): void {
    if (namespace !== undefined) {
      const count = (this.#entryCounts.get(namespace) ?? 0) + change;
      if (count > 0) {
        this.#entryCounts.set(namespace, count);
      } else {
        this.#entryCounts.delete(namespace);
      }
    }
  }

  /** Returns the last token, which may have expired. */
  getToken(key: string): Token | undefined {
    return (this.#tokens.get(key) ?? this.#unboundedTokens.get(key))?.value;
  }

  getUnexpiredToken(key: string): Token | undefined {
    const token = this.getToken(key);
    return token !== undefined && isUnexpired(token.expiresAt, this.#options.now()) ? token : undefined;
  }

  /** Returns the failure of the last call; undefined if it succeeded. */
  getFailure(key: string): FailureState | undefined {
    return this.#findFailure(key);
  }

  #findFailure(key: string): FailureEntry | undefined {
    const entry =
      this.#failures.get(key) ?? this.#untrustedFailures.get(key) ?? this.#unboundedFailures.get(key);
    return entry?.value;
  }

  /**
   * Returns the error of the last call during the backoff. If the clock was set back to before the failure, the backoff
   * is over, because it would otherwise last that much longer.
   * @param maxRetryDelayMs upper bound of the backoff
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

  recordSuccess(caller: Caller, token: Token): void {
    const tokens = caller.isUnbounded ? this.#unboundedTokens : this.#tokens;
    this.#count(caller, 1);
    tokens.set(caller.key, { caller, value: token });
    this.#failures.delete(caller.key);
    this.#untrustedFailures.delete(caller.key);
    this.#unboundedFailures.delete(caller.key);
  }

  /** @returns the failure with the time of the next allowed call */
  recordFailure(caller: Caller, failure: TokenError, trust: EndpointTrust): TokenError {
    const previous = this.#findFailure(caller.key);
    const consecutive = (previous?.consecutive ?? 0) + 1;
    const at = this.#options.now();
    const since = Math.min(previous?.since ?? at, at);
    const policy = failure.permanent ? permanentRegionBackoff : transientRegionBackoff;
    const retryAt = at + backoffMs(policy, consecutive, this.#options.random());
    const error = failure.withRetryAt(retryAt);
    const provenFailures = trust === 'proven' ? this.#failures : this.#untrustedFailures;
    const failures = caller.isUnbounded ? this.#unboundedFailures : provenFailures;
    this.#count(caller, 1);
    failures.set(caller.key, { caller, value: { error, since, at, retryAt, consecutive } });
    return error;
  }

  snapshot(): TokenState[] {
    const states = new Map<string, TokenState>();
    for (const { caller, value } of [...this.#unboundedTokens.values(), ...this.#tokens.values()]) {
      states.set(caller.key, { ...toTokenState(caller), expiresAt: value.expiresAt });
    }
    const failures = [this.#unboundedFailures, this.#untrustedFailures, this.#failures];
    for (const { caller, value } of failures.flatMap((cache) => [...cache.values()])) {
      states.set(caller.key, {
        ...(states.get(caller.key) ?? toTokenState(caller)),
        failure: value.error,
      });
    }
    return [...states.values()];
  }
}

function toTokenState({ identity, region }: Caller): TokenState {
  return { identity, region };
}
