// Plans hosts that are wanted but not stored: their last write failed, or an unmanaged Secret is in the way.

import { type Moment, soonAfter } from '../ecr/token-policy.ts';
import { isObstacle, reportedFormerHosts } from '../pull-secrets/cached-secret.ts';
import type { HostLives } from '../pull-secrets/hosts-annotation.ts';
import type { KnownSecret, LostSecret } from '../pull-secrets/secret-cache.ts';
import { foreignSecret } from '../pull-secrets/unavailable-host.ts';
import { type UnstoredHost, type UnstoredOf, writeFailure } from '../pull-secrets/unstored-hosts.ts';
import type { Overdue, Plan, Trouble } from './plan-types.ts';

/** What is known of a namespace. */
export interface Namespace {
  readonly secret?: KnownSecret | undefined;
  readonly lost?: LostSecret | undefined;
  readonly unstored?: UnstoredOf | undefined;
}

const nothing: Plan = { due: [], overdue: [], nextAt: Number.POSITIVE_INFINITY };
const noHosts: ReadonlyMap<string, UnstoredHost> = new Map();

/**
 * Plans the hosts of a namespace that are kept because their write failed. All of them count as overdue from the start:
 * their pods cannot pull. They do not wait for a failed region, because to name a host in the Secret takes no token.
 * @param attempt why renewal's own last try failed, and when the next one is; undefined: it did not
 * @param replica tells this replica from the others
 */
export function planUnstored(
  namespace: string,
  { secret, lost, unstored }: Namespace,
  attempt: Trouble | undefined,
  now: Moment,
  replica: string,
): Plan {
  if (secret !== undefined && !secret.ours) {
    return planUnmanaged(namespace, secret, unstored?.hosts ?? noHosts, now);
  }
  const named: HostLives | undefined = secret?.hosts ?? lost?.hosts;
  const hosts = [...(unstored?.hosts ?? noHosts)].filter(([host]) => named?.has(host) !== true);
  const [first] = hosts;
  if (unstored === undefined || first === undefined) {
    return nothing;
  }
  const firstTryAt = soonAfter(first[1].since, namespace, now, replica);
  const retryAt = attempt === undefined || attempt.at > now.wall ? firstTryAt : attempt.retryAt;
  const overdue = hosts.map(([host, { since }]) => {
    const at = wallTime(since, now);
    return unavailable(namespace, host, {
      ...unstored.failure,
      ...{ since: at, at: attempt?.at ?? at, retryAt },
    });
  });
  if (retryAt > now.wall) {
    return { due: [], overdue, nextAt: retryAt };
  }
  const names = hosts.map(([host]) => host);
  const endsAt = Number.POSITIVE_INFINITY;
  return {
    due: [{ namespace, kind: 'missing', reason: 'waiting', hosts: names, endsAt }],
    overdue,
    nextAt: Number.POSITIVE_INFINITY,
  };
}

/** An unmanaged Secret is never written. The watch shows when it is gone, so there is no time to try again. */
function planUnmanaged(
  namespace: string,
  secret: KnownSecret,
  unstored: ReadonlyMap<string, UnstoredHost>,
  now: Moment,
): Plan {
  if (!isObstacle(secret)) {
    return nothing;
  }
  const overdue = [...new Set([...unstored.keys(), ...reportedFormerHosts(secret)])].map((host) => {
    const since = wallTime(unstored.get(host)?.since ?? secret.learnedAt, now);
    const failure = writeFailure(foreignSecret(host));
    return unavailable(namespace, host, {
      ...failure,
      ...{ since, at: since, retryAt: Number.POSITIVE_INFINITY },
    });
  });
  return { ...nothing, overdue };
}

function unavailable(namespace: string, host: string, trouble: Trouble): Overdue {
  return { namespace, host, kind: 'missing', endsAt: undefined, trouble, isUrgent: true };
}

function wallTime(steady: number, now: Moment): number {
  return now.wall - (now.steady - steady);
}
