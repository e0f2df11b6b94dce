import {
  type DueTime,
  dueTime,
  isAlive,
  type Life,
  type Moment,
  mostWaitMs,
  soonAfter,
} from '../ecr/token-policy.ts';
import { hasOwnHosts } from '../pull-secrets/cached-secret.ts';
import type { HostLives } from '../pull-secrets/hosts-annotation.ts';
import type { KnownSecret, LostSecret } from '../pull-secrets/secret-cache.ts';
import type { UnstoredOf } from '../pull-secrets/unstored-hosts.ts';
import { hash32 } from '../util/hash.ts';
import {
  type Due,
  type DueKind,
  type Overdue,
  type Plan,
  type PlanRules,
  repeatedCode,
  type Trouble,
} from './plan-types.ts';
import { type Namespace, planUnstored } from './unstored-plan.ts';

export interface Known {
  readonly secrets: Iterable<readonly [string, KnownSecret]>;
  readonly lost: Iterable<readonly [string, LostSecret]>;
  /** Hosts whose write failed; none, if not given. */
  readonly unstored?: ReadonlyMap<string, UnstoredOf> | undefined;
}

const noPlan: Plan = { due: [], overdue: [], nextAt: Number.POSITIVE_INFINITY };

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

function* eachPlan(
  { secrets, lost, unstored = new Map<string, UnstoredOf>() }: Known,
  now: Moment,
  rules: PlanRules,
): Generator<Plan, void> {
  const others = new Set(unstored.keys());
  for (const [namespace, secret] of secrets) {
    others.delete(namespace);
    yield planNamespace(namespace, { secret, unstored: unstored.get(namespace) }, now, rules);
  }
  for (const [namespace, deleted] of lost) {
    others.delete(namespace);
    yield planNamespace(namespace, { lost: deleted, unstored: unstored.get(namespace) }, now, rules);
  }
  for (const namespace of others) {
    yield planNamespace(namespace, { unstored: unstored.get(namespace) }, now, rules);
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

/** Plans one namespace: at most one due of each kind. An unmanaged Secret is not written, but its hosts are overdue. */
export function planNamespace(namespace: string, known: Namespace, now: Moment, rules: PlanRules): Plan {
  const stored = planStored(namespace, known, now, rules);
  if (known.unstored === undefined && known.secret?.ours !== false) {
    return stored;
  }
  const last = unlessCured(rules.namespaceTrouble(namespace, 'missing'));
  const attempt = last?.code === repeatedCode ? undefined : last;
  const unstored = planUnstored(namespace, known, attempt, now, rules.replica);
  return {
    due: merged([...unstored.due, ...stored.due]),
    overdue: [...unstored.overdue, ...stored.overdue],
    nextAt: Math.min(unstored.nextAt, stored.nextAt),
  };
}

function planStored(namespace: string, { secret, lost }: Namespace, now: Moment, rules: PlanRules): Plan {
  if (secret?.ours === true) {
    return planSecret(namespace, secret, now, rules);
  }
  return secret === undefined && lost !== undefined ? planLost(namespace, lost, now, rules) : noPlan;
}

/** The cause of a failure has just gone, as the watch shows: the next try waits no longer than this after the last one, ms. */
const curedRetryMs = 1_000;

/**
 * What the last failure in a namespace means where no unmanaged Secret is in the way: that there was one is no reason to
 * wait any longer.
 */
function unlessCured(trouble: Trouble | undefined): Trouble | undefined {
  return trouble?.code === 'foreign-secret'
    ? { ...trouble, retryAt: Math.min(trouble.retryAt, trouble.at + curedRetryMs) }
    : trouble;
}

function merged(due: readonly Due[]): Due[] {
  return [...Map.groupBy(due, ({ kind }) => kind).values()].flatMap((ofKind) => {
    const last = ofKind.at(-1); // of the Secret itself, where something is due in it
    const hosts = ofKind.flatMap((one) => one.hosts);
    const endsAt = Math.min(...ofKind.map((one) => one.endsAt));
    return last === undefined ? [] : [{ ...last, hosts, endsAt }];
  });
}

function planSecret(namespace: string, secret: KnownSecret, now: Moment, rules: PlanRules): Plan {
  const { intact, hosts, learnedAt } = secret;
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
    const ownTrouble = unlessCured(rules.namespaceTrouble(namespace, kind));
    const trouble = laterOf(ownTrouble, rules.regionTrouble(host), life?.expiresAt, now.wall);
    if (trouble !== undefined && isReliable) {
      const isUrgent = kind === 'missing' && isRefusal(ownTrouble);
      overdue.push({ namespace, host, kind, endsAt: life?.expiresAt, trouble, isUrgent });
    } else if (ownTrouble !== undefined && overdue.every((other) => other.kind !== kind)) {
      overdue.push({ namespace, host, kind, endsAt: undefined, trouble: ownTrouble }); // it cannot be repaired
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

function isRefusal(trouble: Trouble | undefined): boolean {
  return trouble?.cause === 'write';
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
