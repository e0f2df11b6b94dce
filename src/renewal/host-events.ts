// Reports failing, recovered, expiring and denied hosts and full Secrets as Events and log lines.

import type { DeniedHost } from '../ecr/identity.ts';
import { createEventQueue, type EventQueueDependencies, formatEventName } from '../kube/event-queue.ts';
import type { KubeEvent } from '../kube/events.ts';
import type { SecretCache } from '../pull-secrets/secret-cache.ts';
import { getFailureReason } from '../pull-secrets/unavailable-host.ts';
import type { Log } from '../telemetry/log.ts';
import { type FailureReport, getEventCause } from './failure-reports.ts';
import type { FullSecret } from './housekeeping.ts';
import type { Overdue } from './plan-types.ts';

export interface HostEventReporterDependencies {
  readonly secretName: string;
  readonly secretCache: SecretCache;
  /** Resolves with false if the Event exists already; undefined: Events are disabled. */
  readonly createEvent: ((event: KubeEvent) => Promise<boolean>) | undefined;
  /** Events per second; the default of the queue if not given. */
  readonly eventsPerSecond?: number;
  /** The wall clock in ms. */
  now(): number;
  readonly log: Log;
}

/** Bounds the Events of one namespace, so that one with 200 failing hosts does not fill the queue. */
const maxHostsPerNamespace = 5;

/**
 * Creates the function that reports failures: Events in the affected namespaces, and warnings in the log. It calls `onUnsent`
 * for each failing host whose Event could not be sent for a reason that may pass.
 */
export function createHostEventReporter(
  dependencies: HostEventReporterDependencies,
): (report: Omit<FailureReport, 'hasNewWaitingHost'>, onUnsent?: (overdue: Overdue) => void) => void {
  const { log, secretName, secretCache } = dependencies;
  const send = createEventQueue(dependencies);

  function describeEvent(namespace: string, key: string, state: 'failing' | 'renewed') {
    const at = dependencies.now();
    const object = getSecretObject(dependencies, namespace);
    return { name: formatEventName(secretName, state, key, at), object, at };
  }

  return ({ failing, recovered, expiring }, onUnsent) => {
    for (const { first, more } of selectFirstPerNamespace(failing)) {
      const { namespace, host, failure } = first;
      const reason = getFailureReason(failure);
      const message = `${host}${formatOtherHosts(more)}: ${failure.message}`;
      const key = `${host} ${getEventCause(failure)}`.trim();
      send({ ...describeEvent(namespace, key, 'failing'), type: 'Warning', reason, message }, () =>
        onUnsent?.(first),
      );
    }
    for (const { first } of selectFirstPerNamespace(recovered)) {
      const { namespace, host } = first;
      if (secretCache.get(namespace)?.hosts.get(host) !== undefined) {
        const message = `${host}: the pull token is valid again`;
        send({
          ...describeEvent(namespace, host, 'renewed'),
          type: 'Normal',
          reason: 'PullTokenRenewed',
          message,
        });
      }
    }
    for (const { code, permanent, message, namespaces, firstExpiresAt } of expiring) {
      log.warn(
        {
          code,
          permanent,
          namespaces,
          firstExpiresAt: new Date(firstExpiresAt).toISOString(),
          cause: message,
        },
        'tokens expire soon and cannot be renewed',
      );
    }
  };
}

function formatOtherHosts(more: number): string {
  if (more === 0) {
    return '';
  }
  return more === 1 ? ' (and 1 more host in this namespace)' : ` (and ${more} more hosts in this namespace)`;
}

/** Selects the first hosts of each namespace by name. The last of them also has the number of hosts that were left out. */
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

interface SecretReporterDependencies extends EventQueueDependencies {
  readonly secretName: string;
  readonly secretCache: Pick<SecretCache, 'get'>;
  /** The wall clock in ms. */
  now(): number;
}

/** The pull Secret of a namespace as the object of an Event, with its UID if the Secret is known. */
function getSecretObject(
  { secretName, secretCache }: Pick<SecretReporterDependencies, 'secretName' | 'secretCache'>,
  namespace: string,
): KubeEvent['object'] {
  const uid = secretCache.get(namespace)?.uid;
  return { kind: 'Secret', namespace, name: secretName, ...(uid && { uid }) };
}

/** Hosts that a report names; the others are only counted. */
const maxNamed = 5;

/**
 * Creates the function that reports hosts that were removed from a Secret because rules deny them: an Event for each rule. The
 * log line is written with the Secret.
 */
export function createDeniedHostReporter(
  dependencies: SecretReporterDependencies,
): (namespace: string, hosts: readonly DeniedHost[]) => void {
  const { secretName } = dependencies;
  const send = createEventQueue(dependencies);
  return (namespace, hosts) => {
    const at = dependencies.now();
    for (const [rule, ofRule] of Map.groupBy(hosts, (host) => host.rule)) {
      const names = ofRule.map(({ host }) => host).sort();
      const more = names.length > maxNamed ? ` and ${names.length - maxNamed} more` : '';
      send({
        name: formatEventName(secretName, 'denied', `${rule} ${names.join()}`, at),
        object: getSecretObject(dependencies, namespace),
        type: 'Warning',
        reason: 'PullTokenDenied',
        message:
          `${names.slice(0, maxNamed).join(', ')}${more}: removed from the Secret, because ${rule} of the configuration ` +
          'denies this namespace the tokens. Pods that need them cannot pull',
        at,
      });
    }
  };
}

/** Creates the function that reports a full Secret: a log line, and an Event in the namespace. */
export function createFullSecretReporter(
  dependencies: SecretReporterDependencies,
): (secret: FullSecret) => void {
  const { log, secretName } = dependencies;
  const send = createEventQueue(dependencies);
  return ({ namespace, hosts, stored, forbidden }) => {
    const at = dependencies.now();
    const named = hosts.slice(0, maxNamed);
    const advice = forbidden
      ? 'and none can be removed because listing pods is forbidden. Set rbac.listPods, or run ecr-pull-secrets remove-host'
      : 'all in use or requested recently. Delete unneeded pods, run ecr-pull-secrets remove-host, or raise secrets.maxHosts';
    log.warn({ namespace, hosts: named, hostCount: hosts.length, stored, forbidden }, 'pull Secret is full');
    send({
      name: formatEventName(secretName, 'full', namespace, at),
      object: getSecretObject(dependencies, namespace),
      type: 'Warning',
      reason: 'PullSecretFull',
      message:
        `no room for ${hosts.length} more ${hosts.length === 1 ? 'host' : 'hosts'} (${named.join(', ')}): ` +
        `the Secret holds ${stored} hosts, ${advice}`,
      at,
    });
  };
}
