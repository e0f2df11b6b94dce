// Emits Events one after the other, at a bounded rate.

import { KubeError, type KubeErrorCode } from '../kube/errors.ts';
import type { KubeEvent } from '../kube/events.ts';
import type { Log } from '../telemetry/log.ts';
import { hash32 } from '../util/hash.ts';
import { createRateLimit } from '../util/rate-limit.ts';
import { createSlotLimit } from '../util/slot-limit.ts';

export interface EventQueueDependencies {
  /** Gives false where that Event was there already; undefined: no Events are made. */
  readonly createEvent: ((event: KubeEvent) => Promise<boolean>) | undefined;
  /** Events that start in a second; {@link maxPerSecond} if not given. */
  readonly eventsPerSecond?: number;
  readonly log: Log;
}

/** Emits an Event. Calls `onUnsent` where it was not sent, and may be sent later. */
export type SendEvent = (event: KubeEvent, onUnsent?: () => void) => void;

/** Events go out at this rate; an outage of a region is news for thousands of namespaces. */
const maxPerSecond = 5;
/** Events that wait. Beyond these, only one of each namespace without any may wait, up to the second number. */
const maxQueued = { all: 500, first: 2_000 };

/** Events of one namespace in an hour: a tenant whose hosts fail and recover in turn must not leave no room for others. */
const maxPerNamespacePerHour = 20;

const hourMs = 3_600_000;

/** An Event that the API server does not answer soon delays those of other namespaces no longer than this, ms. */
const slotOptions = { concurrency: 1, maxWaitMs: 2_000, maxDetached: 16 };

/** After these, another try may succeed. */
const transientBackoff: ReadonlySet<string> = new Set<KubeErrorCode>([
  'network',
  'server-error',
  'timeout',
  'too-many-requests',
  'overloaded',
]);

interface QueuedEvent {
  readonly event: KubeEvent;
  readonly onUnsent: (() => void) | undefined;
}

/**
 * Makes the function that emits Events, behind its caller's back. Namespaces with the fewest Events in this hour come first.
 * A failure is logged, the first of consecutive ones only.
 */
export function createEventQueue({
  createEvent,
  eventsPerSecond = maxPerSecond,
  log,
}: EventQueueDependencies): SendEvent {
  const eventLimit = createSlotLimit(slotOptions);
  const waitForRateLimit = createRateLimit(eventsPerSecond, () => performance.now());
  const counts = new HourlyCounts();
  const queued = new FairQueue();
  let hasFailed = false;
  return (event, onUnsent) => {
    const { namespace } = event.object;
    if (createEvent === undefined || counts.get(namespace, event.at) >= maxPerNamespacePerHour) {
      return;
    }
    if (!queued.hasRoom(namespace)) {
      onUnsent?.();
      return;
    }
    queued.add({ event, onUnsent }, counts.add(namespace, event.at));
    void eventLimit.run(async () => {
      await waitForRateLimit();
      const next = queued.take();
      try {
        await (next && createEvent(next.event));
        hasFailed = false;
      } catch (error) {
        if (!hasFailed) {
          log.warn({ namespace: next?.event.object.namespace, err: error }, 'failed to create an Event');
        }
        hasFailed = true;
        if (error instanceof KubeError && transientBackoff.has(error.code)) {
          next?.onUnsent?.();
        }
      }
    });
  };
}

/** Events that wait, by how many there were of their namespace before. */
class FairQueue {
  /** The n-th Events of all namespaces, oldest first. */
  readonly #byRank: QueuedEvent[][] = [];
  readonly #countByNamespace = new Map<string, number>();
  #size = 0;

  hasRoom(namespace: string): boolean {
    return this.#size < (this.#countByNamespace.has(namespace) ? maxQueued.all : maxQueued.first);
  }

  /** @param rank 1 for the namespace's first Event */
  add(queued: QueuedEvent, rank: number): void {
    const { namespace } = queued.event.object;
    this.#byRank[rank] ??= [];
    this.#byRank[rank].push(queued);
    this.#countByNamespace.set(namespace, (this.#countByNamespace.get(namespace) ?? 0) + 1);
    this.#size += 1;
  }

  take(): QueuedEvent | undefined {
    const next = this.#byRank.find((rank) => rank !== undefined && rank.length > 0)?.shift();
    if (next !== undefined) {
      const { namespace } = next.event.object;
      const left = (this.#countByNamespace.get(namespace) ?? 1) - 1;
      if (left === 0) this.#countByNamespace.delete(namespace);
      else this.#countByNamespace.set(namespace, left);
      this.#size -= 1;
    }
    return next;
  }
}

/** Counts Events by namespace. What is counted of an hour is forgotten with the first Event of the next. */
class HourlyCounts {
  readonly #counts = new Map<string, number>();
  #hour = Number.NaN;

  /** @param at ms since the epoch */
  get(namespace: string, at: number): number {
    const hour = Math.floor(at / hourMs);
    if (hour !== this.#hour) {
      this.#hour = hour;
      this.#counts.clear();
    }
    return this.#counts.get(namespace) ?? 0;
  }

  add(namespace: string, at: number): number {
    const count = this.get(namespace, at) + 1;
    this.#counts.set(namespace, count);
    return count;
  }
}

/**
 * The name of an Event: the same for all replicas within an hour, so that the first one's Event stands for all.
 * @param key tells it from other Events about the object
 * @param at ms since the epoch
 */
export function formatEventName(object: string, state: string, key: string, at: number): string {
  const id = hash32(`${key} ${state} ${Math.floor(at / hourMs)}`).toString(16);
  return `${object}.${state}.${id}`;
}
