import { LRUCache } from 'lru-cache';
import { backoffMs, permanentRegionBackoff, transientRegionBackoff } from '../util/backoff.ts';
import type { Standing } from './call-queue.ts';
import type { Token } from './token.ts';
import type { TokenError } from './token-error.ts';
import { isAlive } from './token-policy.ts';

/** Who asks which endpoint of which region. */
export interface Asker {
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
  readonly failure?: TokenError;
}

/** A failure that lasts. Times are in ms since the epoch, by the wall clock. */
export interface LastingFailure {
  readonly error: TokenError;
  /** When the first of the failures in a row was. */
  readonly since: number;
  /** When the last one was. */
  readonly at: number;
  /** When the next call may be made. */
  readonly retryAt: number;
}

interface Failed extends LastingFailure {
  readonly inARow: number;
}

interface Kept<T> {
  readonly asker: Asker;
  readonly value: T;
}

export interface MemoryOptions {
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
export class Memory {
  readonly #tokens: LRUCache<string, Kept<Token>>;
  readonly #failures: LRUCache<string, Kept<Failed>>;
  readonly #untrustedFailures = new LRUCache<string, Kept<Failed>>({ max: maxUntrustedFailures });
  readonly #options: MemoryOptions;

  constructor(options: MemoryOptions) {
    this.#tokens = new LRUCache({ max: options.maxKeys });
    this.#failures = new LRUCache({ max: options.maxKeys });
    this.#options = options;
  }

  /** The last token, which may have ended. */
  token(key: string): Token | undefined {
    return this.#tokens.get(key)?.value;
  }

  livingToken(key: string): Token | undefined {
    const token = this.token(key);
    return token !== undefined && isAlive(token.expiresAt, this.#options.now()) ? token : undefined;
  }

  /** The last failure, unless a call has succeeded since. */
  failure(key: string): LastingFailure | undefined {
    return this.#failed(key);
  }

  #failed(key: string): Failed | undefined {
    return (this.#failures.get(key) ?? this.#untrustedFailures.get(key))?.value;
  }

  /**
   * The failure because of which this endpoint is left alone for now. A clock that was set back to before the failure
   * ends the wait, or it would last for as long as the clock was set back.
   * @param mostWaitMs ends the wait this long after the failure, though its own is longer
   */
  waitingFor(key: string, mostWaitMs: number): TokenError | undefined {
    const failed = this.failure(key);
    const now = this.#options.now();
    const waits =
      failed !== undefined && failed.at <= now && now < Math.min(failed.retryAt, failed.at + mostWaitMs);
    return waits ? failed.error : undefined;
  }

  succeeded(asker: Asker, token: Token): void {
    this.#tokens.set(asker.key, { asker, value: token });
    this.#failures.delete(asker.key);
    this.#untrustedFailures.delete(asker.key);
  }

  /** Gives the failure back with the time from which the endpoint may be asked again. */
  failed(asker: Asker, failure: TokenError, standing: Standing): TokenError {
    const before = this.#failed(asker.key);
    const inARow = (before?.inARow ?? 0) + 1;
    const at = this.#options.now();
    const since = Math.min(before?.since ?? at, at);
    const policy = failure.permanent ? permanentRegionBackoff : transientRegionBackoff;
    const retryAt = at + backoffMs(policy, inARow, this.#options.random());
    const error = failure.retryingAt(retryAt);
    const failures = standing === 'proven' ? this.#failures : this.#untrustedFailures;
    failures.set(asker.key, { asker, value: { error, since, at, retryAt, inARow } });
    return error;
  }

  snapshot(): TokenState[] {
    const states = new Map<string, TokenState>();
    for (const { asker, value } of this.#tokens.values()) {
      states.set(asker.key, { ...shown(asker), expiresAt: value.expiresAt });
    }
    for (const { asker, value } of [...this.#untrustedFailures.values(), ...this.#failures.values()]) {
      states.set(asker.key, { ...(states.get(asker.key) ?? shown(asker)), failure: value.error });
    }
    return [...states.values()];
  }
}

function shown({ identity, region }: Asker): TokenState {
  return { identity, region };
}
