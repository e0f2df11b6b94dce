import type { KubeEvent } from '../kube/events.ts';
import type { SecretCache } from '../pull-secrets/secret-cache.ts';
import type { Log } from '../telemetry/log.ts';
import { createEventQueue, type EventQueueDependencies, formatEventName } from './event-queue.ts';
import type { FailureReport } from './failures.ts';
import type { FullSecret } from './housekeeping.ts';
import type { Overdue } from './plan-types.ts';

export interface HostEventReporterDependencies {
  readonly secretName: string;
  readonly secretCache: SecretCache;
  /** Gives false where that Event was there already; undefined: no Events are made. */
  readonly createEvent: ((event: KubeEvent) => Promise<boolean>) | undefined;
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
export function createHostEventReporter(
  dependencies: HostEventReporterDependencies,
): (report: FailureReport, onUnsent?: (overdue: Overdue) => void) => void {
  const { log, secretName, secretCache } = dependencies;
  const send = createEventQueue(dependencies);

  function describeEvent(namespace: string, host: string, state: 'failing' | 'renewed') {
    const at = dependencies.now();
    const uid = secretCache.get(namespace)?.uid;
    const object = { kind: 'Secret', namespace, name: secretName, ...(uid && { uid }) };
    return { name: formatEventName(secretName, state, host, at), object, at };
  }

  return ({ failing, recovered, expiring }, onUnsent) => {
    for (const { first, more } of selectFirstPerNamespace(failing)) {
      const { namespace, host, failure } = first;
      const reason = failure.permanent ? 'PullTokenRefused' : 'PullTokenNotRenewed';
      const message = `${host}${formatOtherHosts(more)}: ${failure.message}`;
      send({ ...describeEvent(namespace, host, 'failing'), type: 'Warning', reason, message }, () =>
        onUnsent?.(first),
      );
    }
    for (const { first } of selectFirstPerNamespace(recovered)) {
      const { namespace, host } = first;
      if (secretCache.get(namespace)?.hosts.get(host) !== undefined) {
        const message = `${host}: the pull token is up to date`;
        send({
          ...describeEvent(namespace, host, 'renewed'),
          type: 'Normal',
          reason: 'PullTokenRenewed',
          message,
        });
      }
    }
    for (const { code, permanent, message, namespaces, firstExpiresAt } of expiring) {
      const expiresAt = new Date(firstExpiresAt).toISOString();
      log.warn(
        { code, permanent, namespaces, firstEnd: expiresAt },
        `tokens end soon and cannot be renewed: ${message}`,
      );
    }
  };
}

function formatOtherHosts(more: number): string {
  if (more === 0) {
    return '';
  }
  return more === 1
    ? ' (1 more host fails in this namespace)'
    : ` (${more} more hosts fail in this namespace)`;
}

/** The first hosts of each namespace, by name; of the last of them also how many more there are. */
function selectFirstPerNamespace<T extends { readonly namespace: string; readonly host: string }>(
  hosts: readonly T[],
): { readonly first: T; readonly more: number }[] {
  return [...Map.groupBy(hosts, ({ namespace }) => namespace).values()].flatMap((hostsOfNamespace) =>
    hostsOfNamespace
      .toSorted((a, b) => (a.host < b.host ? -1 : 1))
      .slice(0, maxHostsPerNamespace)
      .map((first, index) => ({
        first,
        more: index === maxHostsPerNamespace - 1 ? hostsOfNamespace.length - maxHostsPerNamespace : 0,
      })),
  );
}

export interface FullSecretReporterDependencies extends EventQueueDependencies {
  readonly secretName: string;
  readonly secretCache: Pick<SecretCache, 'get'>;
  /** The wall clock in ms. */
  now(): number;
}

/** Hosts named in one report; the rest is a number. */
const maxNamed = 5;

/** Makes the function that reports a full Secret: a line in the log, and an Event in the namespace. */
export function createFullSecretReporter(
  dependencies: FullSecretReporterDependencies,
): (secret: FullSecret) => void {
  const { log, secretName, secretCache } = dependencies;
  const send = createEventQueue(dependencies);
  return ({ namespace, hosts, stored, forbidden }) => {
    const at = dependencies.now();
    const named = hosts.slice(0, maxNamed);
    const advice = forbidden
      ? 'and without the right to list pods no host can be dropped. Grant it (rbac.listPods), or run ecr-pull-secrets remove-host'
      : 'all in use or requested moments ago. Delete unneeded pods, run ecr-pull-secrets remove-host, or raise secrets.maxHosts';
    log.warn({ namespace, hosts: named, missing: hosts.length, stored, forbidden }, 'pull Secret is full');
    const uid = secretCache.get(namespace)?.uid;
    send({
      name: formatEventName(secretName, 'full', namespace, at),
      object: { kind: 'Secret', namespace, name: secretName, ...(uid && { uid }) },
      type: 'Warning',
      reason: 'PullSecretFull',
      message:
        `no room for ${hosts.length} more ${hosts.length === 1 ? 'host' : 'hosts'} (${named.join(', ')}): ` +
        `the Secret holds ${stored} hosts, ${advice}`,
      at,
    });
  };
}
