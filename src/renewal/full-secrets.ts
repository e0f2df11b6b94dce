// Reports pull Secrets that have no room for a host that a pod requests.
import type { SecretView } from '../secrets/view.ts';
import { type EventQueueParts, eventName, eventQueue } from './event-queue.ts';
import type { FullSecret } from './housekeeping.ts';

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
