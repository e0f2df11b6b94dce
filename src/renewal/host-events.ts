import type { EventAbout } from '../kube/events.ts';
import type { SecretView } from '../pull-secrets/secret-cache.ts';
import type { Log } from '../telemetry/log.ts';
import { type EventQueueParts, eventName, eventQueue } from './event-queue.ts';
import type { Tellings } from './failures.ts';
import type { FullSecret } from './housekeeping.ts';
import type { Overdue } from './plan-types.ts';

export interface NewsParts {
  readonly secretName: string;
  readonly view: SecretView;
  /** Gives false where that Event was there already; undefined: no Events are made. */
  readonly createEvent: ((event: EventAbout) => Promise<boolean>) | undefined;
  /** The queue's own default if not given. */
  readonly eventsPerSecond?: number;
  /** The wall clock in ms. */
  now(): number;
  readonly log: Log;
}

/** Of the hosts of one namespace that fail, so many get an Event: a namespace with 200 must not leave no room for others. */
const maxHostsPerNamespace = 5;

/**
 * Makes the function that tells people: Events in the namespaces concerned, and a warning in the log. It calls `onUnsent` for
 * each failing host whose Event was not sent, and may be sent later.
 */
export function news(parts: NewsParts): (tellings: Tellings, onUnsent?: (one: Overdue) => void) => void {
  const { log, secretName, view } = parts;
  const send = eventQueue(parts);

  function about(namespace: string, host: string, state: 'failing' | 'renewed') {
    const at = parts.now();
    const uid = view.get(namespace)?.uid;
    const object = { kind: 'Secret', namespace, name: secretName, ...(uid && { uid }) };
    return { name: eventName(secretName, state, host, at), object, at };
  }

  return ({ failing, recovered, endangered }, onUnsent) => {
    for (const { first, more } of firstOfEachNamespace(failing)) {
      const { namespace, host, trouble } = first;
      const reason = trouble.permanent ? 'PullTokenRefused' : 'PullTokenNotRenewed';
      const message = `${host}${others(more)}: ${trouble.message}`;
      send({ ...about(namespace, host, 'failing'), type: 'Warning', reason, message }, () =>
        onUnsent?.(first),
      );
    }
    for (const { first } of firstOfEachNamespace(recovered)) {
      const { namespace, host } = first;
      if (view.get(namespace)?.hosts.get(host) !== undefined) {
        const message = `${host}: the pull token is up to date`;
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

function others(more: number): string {
  if (more === 0) {
    return '';
  }
  return more === 1
    ? ' (1 more host fails in this namespace)'
    : ` (${more} more hosts fail in this namespace)`;
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

export interface FullSecretReportParts extends EventQueueParts {
  readonly secretName: string;
  readonly view: Pick<SecretView, 'get'>;
  /** The wall clock in ms. */
  now(): number;
}

/** Hosts named in one report; the rest is a number. */
const maxNamed = 5;

/** Makes the function that reports a full Secret: a line in the log, and an Event in the namespace. */
export function fullSecretReport(parts: FullSecretReportParts): (secret: FullSecret) => void {
  const { log, secretName, view } = parts;
  const send = eventQueue(parts);
  return ({ namespace, hosts, stored, forbidden }) => {
    const at = parts.now();
    const named = hosts.slice(0, maxNamed);
    const rest = forbidden
      ? 'and without the right to list pods no host can be dropped. Grant it (rbac.listPods), or run ecr-pull-secrets remove-host'
      : 'all in use or requested moments ago. Delete unneeded pods, run ecr-pull-secrets remove-host, or raise secrets.maxHosts';
    log.warn({ namespace, hosts: named, missing: hosts.length, stored, forbidden }, 'pull Secret is full');
    const uid = view.get(namespace)?.uid;
    send({
      name: eventName(secretName, 'full', namespace, at),
      object: { kind: 'Secret', namespace, name: secretName, ...(uid && { uid }) },
      type: 'Warning',
      reason: 'PullSecretFull',
      message:
        `no room for ${hosts.length} more ${hosts.length === 1 ? 'host' : 'hosts'} (${named.join(', ')}): ` +
        `the Secret holds ${stored} hosts, ${rest}`,
      at,
    });
  };
}
