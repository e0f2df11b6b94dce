// Plans hosts that pods request but no Secret stores: the write failed, or an unmanaged Secret has the name.
import { type ClockReading, jitterAfter, toWallMs } from '../ecr/token-policy.ts';
import { formerHostsToReport, isBlockingSecret } from '../pull-secrets/cached-secret.ts';
import type { HostLifetimes } from '../pull-secrets/hosts-annotation.ts';
import type { CachedSecret, DeletedSecret } from '../pull-secrets/secret-cache.ts';
import { unmanagedSecretHost } from '../pull-secrets/unavailable-host.ts';
import {
  type NamespaceUnstoredHosts,
  toWriteFailure,
  type UnstoredHost,
} from '../pull-secrets/unstored-hosts.ts';
import type { HostFailure, Overdue, Plan, PlanRules } from './plan-types.ts';

/** The cached state of one namespace. */
export interface NamespaceState {
  readonly secret?: CachedSecret | undefined;
  readonly deleted?: DeletedSecret | undefined;
  readonly unstored?: NamespaceUnstoredHosts | undefined;
}

export const emptyPlan: Plan = {
  due: [],
  overdue: [],
  nextAt: Number.POSITIVE_INFINITY,
  lateSince: Number.POSITIVE_INFINITY,
};
const noHosts: ReadonlyMap<string, UnstoredHost> = new Map();

/**
 * Plans the unstored hosts of a namespace. All of them are overdue from the start, because their pods cannot pull. They do not
 * wait for a failed region, because adding a host to the Secret needs no token. Hosts that rules deny to the namespace are
 * skipped.
 * @param lastFailure why the last renewal here failed, and when to retry; undefined: it succeeded
 */
export function planUnstored(
  namespace: string,
  { secret, deleted, unstored }: NamespaceState,
  lastFailure: HostFailure | undefined,
  now: ClockReading,
  { replica, identityOf }: Pick<PlanRules, 'replica' | 'identityOf'>,
): Plan {
  const isAllowed = (host: string) => identityOf(namespace, host).access !== 'denied';
  if (secret !== undefined && !secret.isManaged) {
    return planUnmanaged(namespace, secret, unstored?.hosts ?? noHosts, isAllowed, now);
  }
  const named: HostLifetimes | undefined = secret?.hosts ?? deleted?.hosts;
  const hosts = [...(unstored?.hosts ?? noHosts)].filter(
    ([host]) => named?.has(host) !== true && isAllowed(host),
  );
  const [firstHost] = hosts;
  if (unstored === undefined || firstHost === undefined) {
    return emptyPlan;
  }
  const firstAttemptAt = jitterAfter(firstHost[1].since, namespace, now, replica);
  const retryAt =
    lastFailure === undefined || lastFailure.at > now.wallMs ? firstAttemptAt : lastFailure.retryAt;
  const overdue = hosts.map(([host, { since }]) => {
    const at = toWallMs(since, now);
    return createOverdue(namespace, host, {
      ...unstored.failure,
      ...{ since: at, at: lastFailure?.at ?? at, retryAt },
    });
  });
  if (retryAt > now.wallMs) {
    return { ...emptyPlan, overdue, nextAt: retryAt };
  }
  const names = hosts.map(([host]) => host);
  const expiresAt = Number.POSITIVE_INFINITY;
  return {
    ...emptyPlan,
    due: [{ namespace, kind: 'missing', reason: 'missing-token', hosts: names, expiresAt }],
    overdue,
  };
}

/** An unmanaged Secret is never written. There is no retry time, because the watch reports when the Secret is gone. */
function planUnmanaged(
  namespace: string,
  secret: CachedSecret,
  unstored: ReadonlyMap<string, UnstoredHost>,
  isAllowed: (host: string) => boolean,
  now: ClockReading,
): Plan {
  if (!isBlockingSecret(secret)) {
    return emptyPlan;
  }
  const hosts = [...new Set([...unstored.keys(), ...formerHostsToReport(secret)])];
  const overdue = hosts.filter(isAllowed).map((host) => {
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
