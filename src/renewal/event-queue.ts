// Emits Events one after the other, at a bounded rate.
import pLimit from 'p-limit';
import type { EventAbout } from '../kube/events.ts';
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

const hourMs = 3_600_000;

/** Makes the function that emits Events, behind its caller's back. A failure is logged, the first of consecutive ones only. */
export function eventQueue({ createEvent, log }: EventQueueParts): (event: EventAbout) => void {
  const oneByOne = pLimit(1);
  const turn = paced(eventsPerSecond, () => performance.now());
  let refused = false;
  return (event) => {
    if (createEvent === undefined || oneByOne.pendingCount >= mostWaiting) {
      return;
    }
    void oneByOne(async () => {
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

/**
 * The name of an Event: the same for all replicas within an hour, so that the first one's Event stands for all.
 * @param what tells it from other Events about the object
 * @param at ms since the epoch
 */
export function eventName(object: string, state: string, what: string, at: number): string {
  const id = hash32(`${what} ${state} ${Math.floor(at / hourMs)}`).toString(16);
  return `${object}.${state}.${id}`;
}
