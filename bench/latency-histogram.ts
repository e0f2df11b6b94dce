// Counts latencies in buckets of equal width, so that a result file stays small.

/** Width of a bucket, in µs. */
export const latencyBucketUs = 10;
/** Latencies above 10 ms are counted in the last bucket. */
const bucketCount = 1_000;

/** Start of a bucket in µs, and the number of requests in it. */
export type BucketCount = readonly [startUs: number, requests: number];

export class LatencyHistogram {
  readonly #buckets = new Uint32Array(bucketCount);

  add(latenciesUs: Float64Array): void {
    for (const latency of latenciesUs) {
      const bucket = Math.min(bucketCount - 1, Math.floor(latency / latencyBucketUs));
      this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
    }
  }

  /** Returns the buckets that are not empty, in ascending order. */
  counts(): BucketCount[] {
    return [...this.#buckets]
      .map((requests, bucket): BucketCount => [bucket * latencyBucketUs, requests])
      .filter(([, requests]) => requests > 0);
  }
}
