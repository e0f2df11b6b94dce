// How long to wait after failures: one function, and the policy of everything in this program that retries.

/** Bounds of the wait after consecutive failures, in ms. */
export interface BackoffPolicy {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * How long to wait after the n-th consecutive failure: doubling up to a maximum, and jittered over the upper half, so that
 * replicas that failed together do not retry at the same moment, and none retries at once.
 * @param failures consecutive failures, from 1
 * @param random a number in [0, 1)
 * @returns whole ms
 */
export function tokenRetryMs({ firstMs, maxMs }: BackoffPolicy, failures: number, random: number): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(full / 2 + (full / 2) * random);
}

/** A call to the API server that failed: lists, watches, conflicts. */
export const apiServerBackoff: BackoffPolicy = { firstMs: 200, maxMs: 10_000 };

/** A namespace whose renewal or provisioning failed. It never gives up: quotas and policies change, API servers come back. */
export const namespaceBackoff: BackoffPolicy = { firstMs: 1_000, maxMs: 300_000 };

/** A failed write of a namespace's Secret. A cure is noticed within a minute. */
export const writeBackoff: BackoffPolicy = { firstMs: 1_000, maxMs: 45_000 };

/**
 * A region that failed for a reason that may pass by itself. Two minutes are far below the 20 calls per second that ECR allows in
 * each region, with any number of replicas.
 */
export const transientRegionBackoff: BackoffPolicy = { firstMs: 1_000, maxMs: 120_000 };

/**
 * A region that fails until the operator changes a policy or a key. Changes of IAM take some seconds to become effective, hence
 * the first wait.
 */
export const permanentRegionBackoff: BackoffPolicy = { firstMs: 15_000, maxMs: 300_000 };
