import pLimit from 'p-limit';
import type { EventAbout } from '../kube/events.ts';
import type { SecretView } from '../secrets/view.ts';
import type { Log } from '../telemetry/log.ts';
import { hash32 } from '../tokens/hash.ts';
import { paced } from './pace.ts';
import type { Tellings } from './troubles.ts';

export interface NewsParts {
  readonly secretName: string;
  readonly view: SecretView;
  /** Gives false where that Event was there already; undefined: no Events are made. */
  readonly createEvent: ((event: EventAbout) => Promise<boolean>) | undefined;
  /** The wall clock in ms. */
  now(): number;
  readonly log: Log;
}

/** Events go out at this pace; an outage of a region is news for thousands of namespaces. */
const eventsPerSecond = 5;
/** More news than this is in the log and the metrics only, until there is room again. */
const mostWaiting = 500;
/** Of the hosts of one namespace that fail, so many get an Event: a namespace with 200 must not leave no room for others. */
const maxHostsPerNamespace = 5;

const hourMs = 3_600_000;

/** Makes the function that tells people: Events in the namespaces concerned, and a warning in the log. */
export function news(parts: NewsParts): (tellings: Tellings) => void {
  const { log, secretName, view, createEvent } = parts;
  const oneByOne = pLimit(1);
  const turn = paced(eventsPerSecond, () => performance.now());
  let refused = false;

  function send(event: EventAbout): void {
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
          log.warn({ namespace: event.object.namespace, err: error }, 'an Event could not be made');
        }
        refused = true;
      }
    });
  }

  function about(namespace: string, host: string, state: 'failing' | 'renewed') {
    const at = parts.now();
    // the same for all replicas within an hour: the first one's Event stands for all
    const id = hash32(`${host} ${state} ${Math.floor(at / hourMs)}`).toString(16);
    const uid = view.get(namespace)?.uid;
    const object = { kind: 'Secret', namespace, name: secretName, ...(uid && { uid }) };
    return { name: `${secretName}.${state}.${id}`, object, at };
  }

  return ({ failing, recovered, endangered }) => {
    for (const { first, more } of firstOfEachNamespace(failing)) {
      const { namespace, host, trouble } = first;
      const reason = trouble.permanent ? 'PullTokenRefused' : 'PullTokenNotRenewed';
      const message = `${host}${more > 0 ? ` (and ${more} more hosts)` : ''}: ${trouble.message}`;
      send({ ...about(namespace, host, 'failing'), type: 'Warning', reason, message });
    }
    for (const { first } of firstOfEachNamespace(recovered)) {
      const { namespace, host } = first;
      if (view.get(namespace)?.hosts.get(host) !== undefined) {
        const message = `${host}: the pull token is renewed again`;
        send({ ...about(namespace, host, 'renewed'), type: 'Normal', reason: 'PullTokenRenewed', message });
      }
    }
    for (const { code, permanent, message, namespaces, firstEnd } of endangered) {
      const end = new Date(firstEnd).toISOString();
      log.warn(
        { code, permanent, namespaces, firstEnd: end },
        `tokens end soon and cannot be renewed: ${message}`,
      );
    }
  };
}

/** The first hosts of each namespace, by name; of the last of them also how many more there are. */
function firstOfEachNamespace<T extends { readonly namespace: string; readonly host: string }>(
  hosts: readonly T[],
): { readonly first: T; readonly more: number }[] {
  return [...Map.groupBy(hosts, ({ namespace }) => namespace).values()].flatMap((all) =>
    all
      .toSorted((a, b) => (a.host < b.host ? -1 : 1))
      .slice(0, maxHostsPerNamespace)
      .map((first, index) => ({
        first,
        more: index === maxHostsPerNamespace - 1 ? all.length - maxHostsPerNamespace : 0,
      })),
  );
}
