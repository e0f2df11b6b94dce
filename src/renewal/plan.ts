import type { HostLives } from '../secrets/annotation.ts';
import { hasOwnHosts } from '../secrets/known-secret.ts';
import type { KnownSecret, LostSecret } from '../secrets/view.ts';
import { hash32 } from '../tokens/hash.ts';
import { isAlive, type Life } from '../tokens/token.ts';
import {
  type DueTime,
  dueTime,
  type Moment,
  mostWaitMs,
  type Reason,
  type ScheduleRules,
  soonAfter,
} from './schedule.ts';

/**
 * What the due hosts of a namespace have in common. Hosts with a valid token are renewed in a queue of their own: they never
 * wait for the others, which anyone who can create a pod can make up.
 */
export type DueKind =
  /** The stored tokens are still valid. */
  | 'valid'
  /** There is no token, or it has expired, or the Secret was deleted. */
  | 'missing';

/** Hosts of one kind in a namespace's Secret that are to be renewed now. */
export interface Due {
  readonly namespace: string;
  readonly kind: DueKind;
  readonly reason: Reason | 'edited' | 'deleted';
  readonly hosts: readonly string[];
  /** When the first of these hosts' tokens expires, in ms since the epoch; infinite where none ever had one. */
  readonly endsAt: number;
}

/** The code of a {@link Trouble} that is none: a renewal went well, and came too soon after the last one. */
export const repeatedCode = 'mended';

/** What keeps a host from being renewed. Times are in ms since the epoch. */
export interface Trouble {
  readonly code: string;
  /** A person has to change something. */
  readonly permanent: boolean;
  /** What happened and what can be done; holds nothing secret. */
  readonly message: string;
  readonly since: number;
  /** When the last try was. */
  readonly at: number;
  readonly retryAt: number;
}

/** A host that should have been renewed by now. */
export interface Overdue {
  readonly namespace: string;
  readonly host: string;
  /** When its token ends; undefined: it has none. */
  readonly endsAt: number | undefined;
  readonly trouble: Trouble;
}

export interface Plan {
  /** Of each kind the most urgent first. */
  readonly due: readonly Due[];
  readonly overdue: readonly Overdue[];
  /** When the next thing is due, in ms since the epoch; infinite where nothing is. */
  readonly nextAt: number;
}

export interface PlanRules extends ScheduleRules {
  /** Why the last call for a host's region failed; undefined: it did not. */
  regionTrouble(host: string): Trouble | undefined;
  /** Why the last try for hosts of this kind failed in a namespace, and when the next one is; undefined: it did not. */
  namespaceTrouble(namespace: string, kind: DueKind): Trouble | undefined;
  /** When this replica lately started a renewal in a namespace, by the monotonic clock in ms; undefined: it did not. */
  lastStart(namespace: string): number | undefined;
}

export interface Known {
  readonly secrets: Iterable<readonly [string, KnownSecret]>;
  readonly lost: Iterable<readonly [string, LostSecret]>;
}

/** Namespaces that are planned in one step: for these it takes a millisecond or two. */
const namespacesInStep = 500;

/**
 * Plans every Secret that is known. Each namespace is looked at alone; none keeps another from being renewed. Stops after
 * every 500, so that others may have their turn of the event loop: a Secret that changes between two steps is planned as
 * it was or as it is, and may come twice.
 */
export function* planInSteps(known: Known, now: Moment, rules: PlanRules): Generator<undefined, Plan> {
  const looked = rememberedPerHost(rules);
  const due: Due[] = [];
  const overdue: Overdue[] = [];
  let nextAt = Number.POSITIVE_INFINITY;
  let looks = 0;
  for (const one of eachPlan(known, now, looked)) {
    due.push(...one.due);
    overdue.push(...one.overdue);
    nextAt = Math.min(nextAt, one.nextAt);
    looks += 1;
    if (looks % namespacesInStep === 0) {
      yield;
    }
  }
  return { due: inOrder(due, rules), overdue, nextAt };
}

function* eachPlan({ secrets, lost }: Known, now: Moment, rules: PlanRules): Generator<Plan, void> {
  for (const [namespace, secret] of secrets) {
    yield planOf(namespace, secret, now, rules);
  }
  for (const [namespace, secret] of lost) {
    yield planLost(namespace, secret, now, rules);
  }
}

/**
 * First namespaces in which this replica has not started a renewal lately, since a tenant can make its own look urgent at
 * any time; of these the most urgent first. One token serves many namespaces, so many expire together: of these each replica
 * begins with others, or all would race for the same ones.
 */
function inOrder(due: readonly Due[], { replica, lastStart }: PlanRules): Due[] {
  return due
    .map((one) => ({
      one,
      last: lastStart(one.namespace) ?? Number.NEGATIVE_INFINITY,
      place: hash32(`${replica}/${one.namespace}`),
    }))
    .sort((a, b) => a.last - b.last || a.one.endsAt - b.one.endsAt || a.place - b.place)
    .map(({ one }) => one);
}

/** Plans one namespace: at most one due of each kind. An unmanaged Secret is skipped. */
export function planOf(namespace: string, secret: KnownSecret, now: Moment, rules: PlanRules): Plan {
  const { ours, intact, hosts, learnedAt } = secret;
  if (!ours) {
    return { due: [], overdue: [], nextAt: Number.POSITIVE_INFINITY };
  }
  const mendAt = intact ? undefined : soonAfter(learnedAt, namespace, now, rules.replica);
  const timeOf = (host: string): Time => {
    const time = dueTime(namespace, host, hosts.get(host), learnedAt, now, rules);
    return mendAt !== undefined && mendAt < time.at ? { at: mendAt, reason: 'edited' } : time;
  };
  return planHosts({ namespace, hosts, timeOf, isReliable: hasOwnHosts(secret) }, now, rules);
}

function planLost(namespace: string, lost: LostSecret, now: Moment, rules: PlanRules): Plan {
  const { hosts, intact: isReliable, learnedAt } = lost;
  const at = soonAfter(learnedAt, namespace, now, rules.replica);
  return planHosts({ namespace, hosts, timeOf: () => ({ at, reason: 'deleted' }), isReliable }, now, rules);
}

interface Time {
  readonly at: number;
  readonly reason: DueTime['reason'] | 'edited' | 'deleted';
}

interface HostsOfSecret {
  readonly namespace: string;
  readonly hosts: HostLives;
  timeOf(host: string): Time;
  /** Whether the hosts are those that we wrote. What somebody else wrote must not fill metrics, Events and alerts. */
  readonly isReliable: boolean;
}

function planHosts(
  { namespace, hosts, timeOf, isReliable }: HostsOfSecret,
  now: Moment,
  rules: PlanRules,
): Plan {
  const due: Partial<Record<DueKind, MutableDue>> = {};
  const overdue: Overdue[] = [];
  let nextAt = Number.POSITIVE_INFINITY;
  for (const [host, life] of hosts) {
    const time = timeOf(host);
    if (time.at > now.wall) {
      nextAt = Math.min(nextAt, time.at);
      continue;
    }
    const kind = kindOf(time, life, now);
    const ownTrouble = rules.namespaceTrouble(namespace, kind);
    const trouble = laterOf(ownTrouble, rules.regionTrouble(host), life?.expiresAt, now.wall);
    if (trouble !== undefined && isReliable) {
      overdue.push({ namespace, host, endsAt: life?.expiresAt, trouble });
    } else if (ownTrouble !== undefined && overdue.length === 0) {
      overdue.push({ namespace, host, endsAt: undefined, trouble: ownTrouble }); // it cannot be repaired
    }
    const retryAt = trouble === undefined ? now.wall : retryTime(trouble, life?.expiresAt, now.wall);
    if (retryAt > now.wall) {
      nextAt = Math.min(nextAt, retryAt);
      continue;
    }
    due[kind] ??= { namespace, kind, reason: time.reason, hosts: [], endsAt: Number.POSITIVE_INFINITY };
    due[kind].hosts.push(host);
    due[kind].endsAt = Math.min(due[kind].endsAt, life?.expiresAt ?? Number.POSITIVE_INFINITY);
  }
  return { due: Object.values(due), overdue, nextAt };
}

/** A {@link Due} to which hosts are still added. */
type MutableDue = Omit<Due, 'hosts' | 'endsAt'> & { readonly hosts: string[]; endsAt: number };

function kindOf({ reason }: Time, life: Life | undefined, now: Moment): DueKind {
  return reason !== 'deleted' && life !== undefined && isAlive(life.expiresAt, now.wall)
    ? 'valid'
    : 'missing';
}

/** Of two troubles the one that lasts longer. */
function laterOf(
  a: Trouble | undefined,
  b: Trouble | undefined,
  endsAt: number | undefined,
  now: number,
): Trouble | undefined {
  if (a === undefined || b === undefined) {
    return a ?? b;
  }
  return retryTime(a, endsAt, now) > retryTime(b, endsAt, now) ? a : b;
}

/** When the next try is; a clock that was set back to before the last one ends the wait. */
function retryTime({ at, retryAt, code }: Trouble, endsAt: number | undefined, now: number): number {
  if (at > now) {
    return now;
  }
  // there is a new token: when the one before it was to expire is what something else wrote
  return code === repeatedCode ? retryAt : Math.min(retryAt, at + mostWaitMs(endsAt, now));
}

/** What a host's rules say is asked for once in a plan: 10,000 namespaces share a few hosts. */
function rememberedPerHost(rules: PlanRules): PlanRules {
  const once = <T>(ask: (host: string) => T): ((host: string) => T) => {
    const answers = new Map<string, T>();
    return (host) => {
      if (!answers.has(host)) {
        answers.set(host, ask(host));
      }
      return answers.get(host) as T;
    };
  };
  return {
    ...rules,
    identityOf: once(rules.identityOf),
    remembered: once(rules.remembered),
    regionTrouble: once(rules.regionTrouble),
  };
}
