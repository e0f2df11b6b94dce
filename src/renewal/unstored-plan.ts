// Plans hosts that are wanted but not stored: their last write failed, or an unmanaged Secret is in the way.

import { type ClockReading, jitterAfter } from '../ecr/token-policy.ts';
import { formerHostsToReport, isBlockingSecret } from '../pull-secrets/cached-secret.ts';
import type { HostLifetimes } from '../pull-secrets/hosts-annotation.ts';
import type { KnownSecret, LostSecret } from '../pull-secrets/secret-cache.ts';
import { unmanagedSecretHost } from '../pull-secrets/unavailable-host.ts';
import {
  type NamespaceUnstoredHosts,
  toWriteFailure,
  type UnstoredHost,
} from '../pull-secrets/unstored-hosts.ts';
import type { HostFailure, Overdue, Plan } from './plan-types.ts';

/** What is known of a namespace. */
export interface NamespaceState {
  readonly secret?: KnownSecret | undefined;
  readonly deleted?: LostSecret | undefined;
  readonly unstored?: NamespaceUnstoredHosts | undefined;
}

const emptyPlan: Plan = { due: [], overdue: [], nextAt: Number.POSITIVE_INFINITY };
const noHosts: ReadonlyMap<string, UnstoredHost> = new Map();

/**
 * Plans the hosts of a namespace that are kept because their write failed. All of them count as overdue from the start:
 * their pods cannot pull. They do not wait for a failed region, because to name a host in the Secret takes no token.
 * @param lastFailure why renewal's own last try failed, and when the next one is; undefined: it did not
 * @param replica tells this replica from the others
 */
export function planUnstored(
  namespace: string,
  { secret, deleted, unstored }: NamespaceState,
  lastFailure: HostFailure | undefined,
  now: ClockReading,
  replica: string,
): Plan {
  if (secret !== undefined && !secret.isManaged) {
    return planUnmanaged(namespace, secret, unstored?.hosts ?? noHosts, now);
  }
  const named: HostLifetimes | undefined = secret?.hosts ?? deleted?.hosts;
  const hosts = [...(unstored?.hosts ?? noHosts)].filter(([host]) => named?.has(host) !== true);
  const [firstHost] = hosts;
  if (unstored === undefined || firstHost === undefined) {
    return emptyPlan;
  }
  const firstTryAt = jitterAfter(firstHost[1].since, namespace, now, replica);
  const retryAt = lastFailure === undefined || lastFailure.at > now.wallMs ? firstTryAt : lastFailure.retryAt;
  const overdue = hosts.map(([host, { since }]) => {
    const at = toWallMs(since, now);
    return createOverdue(namespace, host, {
      ...unstored.failure,
      ...{ since: at, at: lastFailure?.at ?? at, retryAt },
    });
  });
  if (retryAt > now.wallMs) {
    return { due: [], overdue, nextAt: retryAt };
  }
  const names = hosts.map(([host]) => host);
  const expiresAt = Number.POSITIVE_INFINITY;
  return {
    due: [{ namespace, kind: 'missing', reason: 'waiting', hosts: names, expiresAt }],
    overdue,
    nextAt: Number.POSITIVE_INFINITY,
  };
}

/** An unmanaged Secret is never written. The watch shows when it is gone, so there is no time to try again. */
function planUnmanaged(
  namespace: string,
  secret: KnownSecret,
  unstored: ReadonlyMap<string, UnstoredHost>,
  now: ClockReading,
): Plan {
  if (!isBlockingSecret(secret)) {
    return emptyPlan;
  }
  const overdue = [...new Set([...unstored.keys(), ...formerHostsToReport(secret)])].map((host) => {
    const since = toWallMs(unstored.get(host)?.since ?? secret.observedAt, now);
    const failure = toWriteFailure(unmanagedSecretHost(host));
    return createOverdue(namespace, host, {
      ...failure,
      ...{ since, at: since, retryAt: Number.POSITIVE_INFINITY },
    });
  });
  return { ...emptyPlan, overdue };
}

function createOverdue(namespace: string, host: string, failure: HostFailure): Overdue {
  return { namespace, host, kind: 'missing', expiresAt: undefined, failure, isUrgent: true };
}

function toWallMs(monotonicMs: number, now: ClockReading): number {
  return now.wallMs - (now.monotonicMs - monotonicMs);
}
