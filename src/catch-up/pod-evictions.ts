// Deletes pods without a reference, one after the other, at a bounded rate.
import { KubeError } from '../kube/errors.ts';
import type { PodApi } from '../kube/pods.ts';
import type { Log } from '../telemetry/log.ts';
import { createRateLimit } from '../util/rate-limit.ts';
import { createSlotLimit } from '../util/slot-limit.ts';
import { EvictionPolicy, type OwnedPod } from './eviction-policy.ts';
import type { FoundPod } from './finding-collector.ts';
import type { MissedPodReporter } from './missed-pod-reports.ts';

export interface PodEvictionsDependencies {
  readonly pods: PodApi;
  readonly reporter: Pick<MissedPodReporter, 'reportEvicted' | 'reportStopped'>;
  /** Deleted pods per second; {@link defaultPerSecond} by default. */
  readonly perSecond?: number;
  /** Whether the webhook answers, so that a replacement gets the reference. */
  canEvict(): boolean;
  /** A monotonic clock in ms. */
  monotonicNow(): number;
  /** Counts an eviction by outcome: `deleted`, `changed`, or the code of the error. */
  countEviction(outcome: string): void;
  readonly log: Log;
}

const defaultPerSecond = 1;

/** Maximum number of pods that wait to be deleted. The others follow in a later round. */
const maxWaiting = 300;

/** A namespace in which deletions hang delays those of other namespaces by at most `maxWaitMs`. */
const slotOptions = { concurrency: 1, maxWaitMs: 2_000, maxDetached: 16 };

/** Deletes the pods that an {@link EvictionPolicy} selects. */
export class PodEvictions {
  readonly #dependencies: PodEvictionsDependencies;
  readonly #policy = new EvictionPolicy();
  readonly #limit = createSlotLimit(slotOptions);
  readonly #waitForRateLimit: () => Promise<void>;
  /** UID → the deletion, waiting or in flight. */
  readonly #inFlight = new Map<string, Promise<void>>();
  #stopped = false;
  #hasFailed = false;

  constructor(dependencies: PodEvictionsDependencies) {
    this.#dependencies = dependencies;
    const { perSecond = defaultPerSecond, monotonicNow } = dependencies;
    this.#waitForRateLimit = createRateLimit(perSecond, monotonicNow);
  }

  /**
   * Starts what is due after a round.
   * @param pods all pods without a reference, including young ones
   * @returns whether the next round should follow soon
   */
  start(pods: readonly FoundPod[]): boolean {
    const { canEvict, monotonicNow, reporter } = this.#dependencies;
    if (!canEvict()) {
      return pods.some(({ controller }) => controller !== undefined);
    }
    const { evict, stopped, isUnfinished } = this.#policy.plan(pods, monotonicNow());
    for (const pod of stopped) {
      reporter.reportStopped(pod);
    }
    for (const pod of evict) {
      if (this.#inFlight.has(pod.uid)) {
        continue;
      }
      if (this.#inFlight.size >= maxWaiting) {
        this.#policy.recordFailure(pod);
        continue;
      }
      const done = this.#limit.run(() => this.#evict(pod)).finally(() => this.#inFlight.delete(pod.uid));
      this.#inFlight.set(pod.uid, done);
    }
    return isUnfinished;
  }

  /** Starts no further deletion, and resolves when none is in flight. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.waitUntilIdle();
  }

  /** Resolves when nothing is waiting or in flight. */
  async waitUntilIdle(): Promise<void> {
    await Promise.all(this.#inFlight.values());
  }

  async #evict(pod: OwnedPod): Promise<void> {
    const { canEvict } = this.#dependencies;
    if (!this.#stopped) {
      await this.#waitForRateLimit();
    }
    if (this.#stopped || !canEvict() || !(await this.#delete(pod))) {
      this.#policy.recordFailure(pod);
    }
  }

  /** @returns whether the pod was deleted */
  async #delete(pod: OwnedPod): Promise<boolean> {
    const { pods, reporter, countEviction, monotonicNow, log } = this.#dependencies;
    try {
      const isDeleted = await pods.delete(pod);
      this.#hasFailed = false;
      countEviction(isDeleted ? 'deleted' : 'changed');
      if (isDeleted) {
        this.#policy.recordDeleted(pod, monotonicNow());
        reporter.reportEvicted(pod);
      }
      return isDeleted;
    } catch (error) {
      countEviction(error instanceof KubeError ? error.code : 'internal-error');
      if (!this.#hasFailed) {
        const { namespace, name } = pod;
        log.warn(
          { namespace, pod: name, err: error },
          'failed to delete a pod without a reference; will retry',
        );
      }
      this.#hasFailed = true;
      return false;
    }
  }
}
