// Decides which pods without a reference are deleted, so that their controllers create them again. Pure.
import type { FoundPod } from './finding-collector.ts';
import type { PodController } from './pod-findings.ts';

/** A pod that a controller owns. */
export interface OwnedPod extends FoundPod {
  readonly controller: PodController;
}

/** What to do about the pods of one round. */
export interface EvictionPlan {
  /** Pods to delete. The first one of each namespace comes before the second one of any. */
  readonly evict: readonly OwnedPod[];
  /** One pod of each controller whose pods are not deleted any more, in the round in which that is decided. */
  readonly stopped: readonly OwnedPod[];
  /** Whether the next round should follow soon. */
  readonly isUnfinished: boolean;
}

/**
 * Controllers that replace a deleted pod in any case. A Job counts a deleted pod as failed, and may fail itself. What other
 * controllers do is unknown.
 */
const replacingControllers: ReadonlySet<string> = new Set([
  'apps/v1 ReplicaSet',
  'apps/v1 StatefulSet',
  'apps/v1 DaemonSet',
  'v1 ReplicationController',
]);

/** Attempts after which the pods of a controller are not deleted any more. */
export const maxAttempts = 3;

/** Minimum time between the first and the second attempt, in ms. It doubles with each further attempt. */
const firstRetryMs = 300_000;

/**
 * How long a controller has to replace the first pod before the others are deleted, in ms. Most controllers replace a pod at
 * once; a StatefulSet first waits for up to 30 s until the pod has terminated.
 */
export const replacementMs = 30_000;

/** How long the attempts of a controller are remembered, in ms. */
const memoryMs = 24 * 3_600_000;

/** Maximum number of controllers whose attempts are remembered. */
const maxControllers = 10_000;

/** The last attempt to replace the pods of a controller. Times are in ms of the monotonic clock, except `newestCreatedAt`. */
interface Attempt {
  /** From 1. */
  readonly number: number;
  readonly startedAt: number;
  /** UID of the pod that is deleted first. */
  readonly firstUid: string;
  /** When that pod was deleted; undefined while it waits. */
  readonly firstDeletedAt: number | undefined;
  /**
   * When the newest pod of the controller was created at the start of the attempt, in ms since the epoch. A pod that was created
   * later came back without a reference.
   */
  readonly newestCreatedAt: number;
  readonly hasStopped: boolean;
  /** What to return to if the first pod cannot be deleted. */
  readonly previous: Attempt | undefined;
}

/**
 * Deletes one pod of a controller first, and the others when its replacement is not found without a reference. If it is, the
 * next attempt follows later, and after {@link maxAttempts} there is none, so that a webhook that the API server does not call
 * never causes an endless loop.
 */
export class EvictionPolicy {
  readonly #attempts = new Map<string, Attempt>();

  /**
   * @param pods all pods without a reference, including young ones
   * @param now a monotonic clock in ms
   */
  plan(pods: readonly FoundPod[], now: number): EvictionPlan {
    const owned = pods.filter(isReplaceable);
    const plans = [...Map.groupBy(owned, getControllerKey)].map(([key, group]) =>
      this.#planController(key, group, now),
    );
    return {
      evict: interleaveNamespaces(plans.flatMap(({ evict }) => evict)),
      stopped: plans.flatMap(({ stopped }) => stopped),
      isUnfinished: plans.some(({ isUnfinished }) => isUnfinished),
    };
  }

  /** Records that a pod was deleted. */
  recordDeleted(pod: OwnedPod, now: number): void {
    const key = getControllerKey(pod);
    const attempt = this.#attempts.get(key);
    if (attempt?.firstUid === pod.uid) {
      this.#record(key, { ...attempt, firstDeletedAt: now });
    }
  }

  /** Records that a pod was not deleted. If it was the first one, the attempt does not count. */
  recordFailure(pod: OwnedPod): void {
    const key = getControllerKey(pod);
    const attempt = this.#attempts.get(key);
    if (attempt?.firstUid !== pod.uid) {
      return;
    }
    if (attempt.previous === undefined) {
      this.#attempts.delete(key);
    } else {
      this.#record(key, attempt.previous);
    }
  }

  #planController(key: string, pods: readonly OwnedPod[], now: number): EvictionPlan {
    const evictable = pods
      .filter(({ isYoung, isStuck }) => !isYoung && isStuck)
      .toSorted((a, b) => a.createdAt - b.createdAt);
    const [first] = evictable;
    const last = this.#findAttempt(key, now);
    if (first === undefined) {
      return nothing;
    }
    const newestCreatedAt = Math.max(...pods.map(({ createdAt }) => createdAt));
    if (last !== undefined && newestCreatedAt <= last.newestCreatedAt) {
      const isReplaced = last.firstDeletedAt !== undefined && now - last.firstDeletedAt >= replacementMs;
      return { evict: isReplaced ? evictable : [], stopped: [], isUnfinished: true };
    }
    if (last !== undefined && last.number >= maxAttempts) {
      this.#record(key, { ...last, hasStopped: true });
      return { ...nothing, stopped: last.hasStopped ? [] : [first] };
    }
    if (last !== undefined && now - last.startedAt < firstRetryMs * 2 ** (last.number - 1)) {
      return nothing;
    }
    this.#record(key, {
      ...{ number: (last?.number ?? 0) + 1, startedAt: now, newestCreatedAt, hasStopped: false },
      ...{ firstUid: first.uid, firstDeletedAt: undefined },
      previous: last && { ...last, previous: undefined },
    });
    return { evict: [first], stopped: [], isUnfinished: true };
  }

  #findAttempt(key: string, now: number): Attempt | undefined {
    const attempt = this.#attempts.get(key);
    return attempt === undefined || now - attempt.startedAt >= memoryMs ? undefined : attempt;
  }

  /** Beyond the maximum, the controller whose attempt was recorded first is forgotten. */
  #record(key: string, attempt: Attempt): void {
    this.#attempts.delete(key);
    this.#attempts.set(key, attempt);
    const [oldest] = this.#attempts.keys();
    if (oldest !== undefined && this.#attempts.size > maxControllers) {
      this.#attempts.delete(oldest);
    }
  }
}

const nothing: EvictionPlan = { evict: [], stopped: [], isUnfinished: false };

/** Identifies a controller. With its namespace, because anyone who can create a pod can write any UID into it. */
function getControllerKey({ namespace, controller }: OwnedPod): string {
  return `${namespace}/${controller.uid}`;
}

function isReplaceable(pod: FoundPod): pod is OwnedPod {
  const { controller } = pod;
  return controller !== undefined && replacingControllers.has(`${controller.apiVersion} ${controller.kind}`);
}

/** Orders pods so that the n-th pod of each namespace comes before the next one of any. */
function interleaveNamespaces(pods: readonly OwnedPod[]): OwnedPod[] {
  const byNamespace = [...Map.groupBy(pods, ({ namespace }) => namespace).values()];
  const longest = Math.max(0, ...byNamespace.map(({ length }) => length));
  return Array.from({ length: longest }, (_, index) =>
    byNamespace.flatMap((ofNamespace) => ofNamespace[index] ?? []),
  ).flat();
}
