// Logs which AWS identity the process has, and keeps whether its credentials work.
import type { Log } from '../telemetry/log.ts';
import { type BackoffPolicy, backoffMs } from '../util/backoff.ts';
import type { CallerIdentity } from './caller-identity.ts';
import { defaultIdentity } from './identity.ts';
import { isCredentialError, TokenError } from './token-error.ts';
import type { TokenCall } from './token-source.ts';

export interface CallerIdentityMonitorDependencies {
  /** Rejects with TokenError. Must time out, and end early if aborted. */
  readIdentity(signal: AbortSignal): Promise<CallerIdentity>;
  /** Whether a rule, or no rule, lets the process use its own credentials. If not, nothing is checked. */
  readonly usesOwnCredentials: boolean;
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>;
  /** A monotonic clock in ms. */
  monotonicNow(): number;
  /** Returns a number in [0, 1). */
  random(): number;
}

/** Interval between two ticks, in ms. */
const tickMs = 1_000;

/** How long after the last successful call with the credentials they are checked again, in ms. */
const recheckMs = 3_600_000;

/** Minimum time between two checks because of calls to ECR, in ms: anyone who can create a pod can cause failing calls. */
const minIntervalMs = 60_000;

const retryBackoff: BackoffPolicy = { firstMs: 5_000, maxMs: 300_000 };

/**
 * Reads the AWS identity at the start, after failures until that succeeds, and once per hour without successful calls to ECR. A
 * failure prevents nothing; it is logged once for each error code.
 */
export class CallerIdentityMonitor {
  readonly #dependencies: CallerIdentityMonitorDependencies;
  #known: CallerIdentity | undefined;
  #areValid: boolean | undefined;
  /** The codes of the failures that were logged since the last check that succeeded. */
  readonly #loggedCodes = new Set<string>();
  #failures = 0;
  #nextAt = Number.NEGATIVE_INFINITY;
  #lastAt = Number.NEGATIVE_INFINITY;
  #check: Promise<void> | undefined;
  readonly #abort = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(dependencies: CallerIdentityMonitorDependencies) {
    this.#dependencies = dependencies;
  }

  /** Whether AWS accepted the credentials when they were last used; undefined: not known, or the process does not use any. */
  get areCredentialsValid(): boolean | undefined {
    return this.#areValid;
  }

  start(): void {
    if (this.#dependencies.usesOwnCredentials) {
      this.#timer = setInterval(() => this.tick(), tickMs).unref();
      this.tick();
    }
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#abort.abort();
  }

  /** Resolves when no check is in flight. */
  async waitUntilIdle(): Promise<void> {
    await this.#check;
  }

  /** Starts a check if one is due. */
  tick(): void {
    const now = this.#dependencies.monotonicNow();
    if (this.#check === undefined && now >= this.#nextAt) {
      this.#lastAt = now;
      this.#nextAt = Number.POSITIVE_INFINITY;
      this.#check = this.#readIdentity().finally(() => {
        this.#check = undefined;
      });
    }
  }

  /** Learns from a call to ECR. Failures only cause a check, because a region that is not enabled rejects valid credentials. */
  recordCall({ identity, failure }: Pick<TokenCall, 'identity' | 'failure'>): void {
    if (identity !== defaultIdentity.key || !this.#dependencies.usesOwnCredentials) {
      return;
    }
    const now = this.#dependencies.monotonicNow();
    if (failure === undefined) {
      this.#areValid = true;
      this.#nextAt = this.#isFailing ? this.#nextAt : now + recheckMs;
    }
    const isContradiction = failure === undefined ? this.#isFailing : isCredentialError(failure);
    if (isContradiction && this.#check === undefined) {
      this.#nextAt = Math.min(this.#nextAt, this.#lastAt + minIntervalMs);
    }
  }

  /** Whether the last check failed. */
  get #isFailing(): boolean {
    return this.#failures > 0;
  }

  async #readIdentity(): Promise<void> {
    const { readIdentity, monotonicNow, random } = this.#dependencies;
    try {
      this.#recordIdentity(await readIdentity(this.#abort.signal));
      this.#nextAt = Math.min(this.#nextAt, monotonicNow() + recheckMs);
    } catch (error) {
      if (this.#abort.signal.aborted) {
        return;
      }
      this.#recordFailure(error);
      this.#failures += 1;
      this.#nextAt = Math.min(
        this.#nextAt,
        monotonicNow() + backoffMs(retryBackoff, this.#failures, random()),
      );
    }
  }

  #recordIdentity(identity: CallerIdentity): void {
    const { arn, account, provider } = identity;
    const hasChanged = this.#isFailing || this.#known?.arn !== arn || this.#known.provider !== provider;
    this.#known = identity;
    this.#areValid = true;
    this.#loggedCodes.clear();
    this.#failures = 0;
    if (hasChanged) {
      this.#dependencies.log.info({ arn, account, provider }, 'the AWS credentials are valid');
    }
  }

  #recordFailure(error: unknown): void {
    const { log } = this.#dependencies;
    const code = error instanceof TokenError ? error.code : 'internal-error';
    if (error instanceof TokenError && rejectsCredentials(error)) {
      this.#areValid = false;
    }
    if (!this.#loggedCodes.has(code)) {
      const level = error instanceof TokenError && !error.permanent ? 'warn' : 'error';
      log[level]({ err: error }, 'failed to get the AWS identity; will retry');
    }
    this.#loggedCodes.add(code);
  }
}

/** Whether there are no credentials, or AWS rejects them or denies their role. An unreachable network says nothing about them. */
function rejectsCredentials(failure: TokenError): boolean {
  return isCredentialError(failure) || failure.code === 'AccessDenied';
}
