// Emits Events one after the other, at a bounded rate.
import type { Log } from '../telemetry/log.ts';
import { hash32 } from '../util/hash.ts';
import { createRateLimit } from '../util/rate-limit.ts';
import { createSlotLimit } from '../util/slot-limit.ts';
import { KubeError, type KubeErrorCode } from './errors.ts';
import type { KubeEvent } from './events.ts';

export interface EventQueueDependencies {
  /** Resolves with false if the Event exists already; undefined: Events are disabled. */
  readonly createEvent: ((event: KubeEvent) => Promise<boolean>) | undefined;
  /** Events per second; {@link maxPerSecond} by default. */
  readonly eventsPerSecond?: number;
  /** Events per namespace and hour; {@link defaultMaxPerNamespacePerHour} by default. */
  readonly maxPerNamespacePerHour?: number;
  readonly log: Log;
}

/**
 * Queues an Event. Calls `onUnsent` if the Event could not be sent for a reason that may pass.
 * @returns false if the Event is not created, because Events are disabled or its namespace has used up those of this hour
 */
export type SendEvent = (event: KubeEvent, onUnsent?: () => void) => boolean;

/** Bounds the rate because an outage of a region affects thousands of namespaces at once. */
const maxPerSecond = 5;
/**
 * Size of the queue. Above `all`, it accepts only Events of namespaces that have none in the queue, up to `firstOfNamespace`.
 */
const maxQueued = { all: 500, firstOfNamespace: 2_000 };

/** Bounds the Events of one namespace, so that a tenant whose hosts alternate between failing and recovering cannot fill the queue. */
const defaultMaxPerNamespacePerHour = 20;

const hourMs = 3_600_000;

/** A slow request to create an Event delays those of other namespaces by at most `maxWaitMs`. */
const slotOptions = { concurrency: 1, maxWaitMs: 2_000, maxDetached: 16 };

/** Errors after which a retry may succeed. */
const transientCodes: ReadonlySet<string> = new Set<KubeErrorCode>([
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
 * Creates the function that emits Events in the background. Namespaces with the fewest Events in this hour come first.
 * Of consecutive failures, only the first is logged.
 */
export function createEventQueue({
  createEvent,
  eventsPerSecond = maxPerSecond,
  maxPerNamespacePerHour = defaultMaxPerNamespacePerHour,
  log,
}: EventQueueDependencies): SendEvent {
  const eventLimit = createSlotLimit(slotOptions);
  const waitForRateLimit = createRateLimit(eventsPerSecond, () => performance.now());
  const counts = new HourlyCounts();
  const queued = new EventBacklog();
  let hasFailed = false;
  return (event, onUnsent) => {
    const { namespace } = event.object;
    if (createEvent === undefined || counts.get(namespace, event.at) >= maxPerNamespacePerHour) {
      return false;
    }
    if (!queued.hasRoom(namespace)) {
      onUnsent?.();
      return true;
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
        if (error instanceof KubeError && transientCodes.has(error.code)) {
          next?.onUnsent?.();
        }
      }
    });
    return true;
  };
}

/** Queued Events, ordered by how many Events of the same namespace came before in this hour. */
class EventBacklog {
  /** Index n holds the n-th Event of each namespace, oldest first. */
  readonly #byRank: QueuedEvent[][] = [];
  readonly #countByNamespace = new Map<string, number>();
  #size = 0;

  hasRoom(namespace: string): boolean {
    return this.#size < (this.#countByNamespace.has(namespace) ? maxQueued.all : maxQueued.firstOfNamespace);
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
      const remaining = (this.#countByNamespace.get(namespace) ?? 1) - 1;
      if (remaining === 0) {
        this.#countByNamespace.delete(namespace);
      } else {
        this.#countByNamespace.set(namespace, remaining);
      }
      this.#size -= 1;
    }
    return next;
  }
}

/** Counts Events by namespace within one clock hour. */
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

  /**
   * @param at ms since the epoch
   * @returns the count including this Event
   */
  add(namespace: string, at: number): number {
    const count = this.get(namespace, at) + 1;
    this.#counts.set(namespace, count);
    return count;
  }
}

/**
 * Formats the name of an Event. It is the same in all replicas within an hour, so that only one of them creates the Event.
 * @param key distinguishes the Event from others about the same object
 * @param at ms since the epoch
 */
export function formatEventName(object: string, state: string, key: string, at: number): string {
  const id = hash32(`${key} ${state} ${Math.floor(at / hourMs)}`).toString(16);
  return `${object}.${state}.${id}`;
}

/**
 * Formats the name of an Event that exists once for an object in each hour, whichever replica creates it.
 * @param uid of the object
 * @param at ms since the epoch
 */
export function formatHourlyEventName(object: string, state: string, uid: string, at: number): string {
  return formatUniqueEventName(object, state, `${uid} ${Math.floor(at / hourMs)}`);
}

/** Maximum length of an Event's name, which is a DNS subdomain. */
const maxNameLength = 253;

/**
 * Formats the name of an Event that exists once for an object, whichever replica creates it.
 * @param object the name of the object; truncated if the Event's name would be too long
 * @param uid of the object
 */
export function formatUniqueEventName(object: string, state: string, uid: string): string {
  const suffix = `.${state}.${hash32(uid).toString(16)}`;
  return object.slice(0, maxNameLength - suffix.length).replace(/[.-]+$/, '') + suffix;
}
