// How long to wait after failures: one function, and the policy of everything that retries.

/** Delay after the first failure, and the maximum delay, in ms. */
export interface BackoffPolicy {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * How long to wait after consecutive failures. The delay doubles up to a maximum. Its upper half is random, so that replicas
 * that failed together do not retry together, and none retries at once.
 * @param failures consecutive failures, from 1
 * @param random a number in [0, 1)
 * @returns whole ms
 */
export function backoffMs({ firstMs, maxMs }: BackoffPolicy, failures: number, random: number): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return Math.round(full / 2 + (full / 2) * random);
}

/** A failed list, watch or conflicting write at the API server. */
export const apiServerBackoff: BackoffPolicy = { firstMs: 200, maxMs: 10_000 };

/** A namespace whose renewal or provisioning failed. Retries never stop, because quotas, policies and outages change. */
export const namespaceBackoff: BackoffPolicy = { firstMs: 1_000, maxMs: 300_000 };

/** A failed write of a namespace's Secret. Once the cause is fixed, the next retry follows within a minute. */
export const writeBackoff: BackoffPolicy = { firstMs: 1_000, maxMs: 45_000 };

/**
 * A region that failed for a transient reason. One call every two minutes is far below the 20 calls per second that ECR allows
 * in each region, with any number of replicas.
 */
export const transientRegionBackoff: BackoffPolicy = { firstMs: 1_000, maxMs: 120_000 };

/**
 * A region that fails until the operator changes a policy or a key. IAM changes take some seconds to become effective, hence
 * the first delay.
 */
export const permanentRegionBackoff: BackoffPolicy = { firstMs: 15_000, maxMs: 300_000 };
