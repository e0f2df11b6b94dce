// Decides whether and when a failed write of a Secret is retried immediately.
import { KubeError, type KubeErrorCode } from '../kube/errors.ts';
import { type BackoffPolicy, backoffMs } from '../util/backoff.ts';

interface RetryPolicy {
  readonly maxAttempts: number;
  readonly backoff: BackoffPolicy;
  /** No attempt starts later than this after the start of the first one, in ms. */
  readonly maxElapsedMs: number;
}

type RetryPolicies = Readonly<Partial<Record<KubeErrorCode, RetryPolicy>>>;

/** A replica rarely loses this many consecutive races, because with each of them another replica has finished its write. */
const conflictRetryPolicy: RetryPolicy = {
  maxAttempts: 8,
  backoff: { firstMs: 100, maxMs: 1_000 },
  maxElapsedMs: 10_000,
};

/** For short failures of the API server. Renewal retries after longer ones, and no caller waits for that. */
const transientRetryPolicy: RetryPolicy = {
  maxAttempts: 3,
  backoff: { firstMs: 200, maxMs: 1_000 },
  maxElapsedMs: 5_000,
};

/** For commands that exit, because nothing retries after them. */
const persistentRetryPolicy: RetryPolicy = {
  maxAttempts: 8,
  backoff: { firstMs: 200, maxMs: 10_000 },
  maxElapsedMs: 60_000,
};

/** There is no retry after `timeout` and `overloaded`: the first attempt took longer than any caller wants to wait. */
const shortRetries: RetryPolicies = {
  conflict: conflictRetryPolicy,
  network: transientRetryPolicy,
  'server-error': transientRetryPolicy,
  'too-many-requests': transientRetryPolicy,
};

const persistentRetries: RetryPolicies = {
  conflict: persistentRetryPolicy,
  network: persistentRetryPolicy,
  'server-error': persistentRetryPolicy,
  'too-many-requests': persistentRetryPolicy,
  overloaded: persistentRetryPolicy,
  timeout: persistentRetryPolicy,
};

/**
 * The delay before the next attempt, in ms, or undefined if there is no further attempt.
 * @param attempts number of attempts so far
 * @param elapsedMs time since the first attempt started, in ms
 * @param random a number in [0, 1)
 * @param isPersistent whether to retry for up to a minute
 */
export function retryDelayMs(
  error: unknown,
  attempts: number,
  elapsedMs: number,
  random: number,
  isPersistent = false,
): number | undefined {
  const policies = isPersistent ? persistentRetries : shortRetries;
  const policy = error instanceof KubeError ? policies[error.code] : undefined;
  const isExhausted =
    policy === undefined || attempts >= policy.maxAttempts || elapsedMs >= policy.maxElapsedMs;
  return isExhausted ? undefined : backoffMs(policy.backoff, attempts, random);
}
