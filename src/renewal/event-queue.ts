// Emits Events one after the other, at a bounded rate.
import type { EventAbout } from '../kube/events.ts';
import { patientLimit } from '../patient-limit.ts';
import type { Log } from '../telemetry/log.ts';
import { hash32 } from '../tokens/hash.ts';
import { paced } from './pace.ts';

export interface EventQueueParts {
  /** Gives false where that Event was there already; undefined: no Events are made. */
  readonly createEvent: ((event: EventAbout) => Promise<boolean>) | undefined;
  readonly log: Log;
}

/** Events go out at this pace; an outage of a region is news for thousands of namespaces. */
const eventsPerSecond = 5;
/** More news than this is in the log and the metrics only, until there is room again. */
const mostWaiting = 500;

/** Events of one namespace in an hour: a tenant whose hosts fail and recover in turn must not leave no room for others. */
const maxPerNamespace = 20;

const hourMs = 3_600_000;

/** An Event that the API server does not answer soon delays those of other namespaces no longer than this, ms. */
const slots = { concurrency: 1, patienceMs: 2_000, maxDetached: 16 };

/** Makes the function that emits Events, behind its caller's back. A failure is logged, the first of consecutive ones only. */
export function eventQueue({ createEvent, log }: EventQueueParts): (event: EventAbout) => void {
  const oneByOne = patientLimit(slots);
  const turn = paced(eventsPerSecond, () => performance.now());
  const isWithinLimit = hourlyLimit();
  let refused = false;
  return (event) => {
    if (createEvent === undefined || oneByOne.waiting >= mostWaiting || !isWithinLimit(event)) {
      return;
    }
    void oneByOne.run(async () => {
      await turn();
      try {
        await createEvent(event);
        refused = false;
      } catch (error) {
        if (!refused) {
          log.warn({ namespace: event.object.namespace, err: error }, 'failed to create an Event');
        }
        refused = true;
      }
    });
  };
}

/** Counts Events by namespace. What is counted of an hour is forgotten with the first Event of the next. */
function hourlyLimit(): (event: EventAbout) => boolean {
  let hour = Number.NaN;
  const sent = new Map<string, number>();
  return ({ object: { namespace }, at }) => {
    if (Math.floor(at / hourMs) !== hour) {
      hour = Math.floor(at / hourMs);
      sent.clear();
    }
    const count = (sent.get(namespace) ?? 0) + 1;
    sent.set(namespace, count);
    return count <= maxPerNamespace;
  };
}

/**
 * The name of an Event: the same for all replicas within an hour, so that the first one's Event stands for all.
 * @param what tells it from other Events about the object
 * @param at ms since the epoch
 */
export function eventName(object: string, state: string, what: string, at: number): string {
  const id = hash32(`${what} ${state} ${Math.floor(at / hourMs)}`).toString(16);
  return `${object}.${state}.${id}`;
}
