import type { HostLives } from '../secrets/annotation.ts';
import type { KnownSecret, LostSecret } from '../secrets/view.ts';
import { hash32 } from '../tokens/hash.ts';
import {
  type DueTime,
  dueTime,
  type Moment,
  mostWaitMs,
  type Reason,
  type ScheduleRules,
  soonAfter,
} from './schedule.ts';

/** A namespace whose Secret is to be renewed now. */
export interface Due {
  readonly namespace: string;
  readonly reason: Reason | 'edited' | 'deleted';
  readonly hosts: readonly string[];
  /** When the first of these hosts' tokens ends, in ms since the epoch; 0 where one has none. */
  readonly endsAt: number;
}

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
  /** The most urgent first. */
  readonly due: readonly Due[];
  readonly overdue: readonly Overdue[];
  /** When the next thing is due, in ms since the epoch; infinite where nothing is. */
  readonly nextAt: number;
}

export interface PlanRules extends ScheduleRules {
  /** Why the last call for a host's region failed; undefined: it did not. */
  regionTrouble(host: string): Trouble | undefined;
  /** Why the last try in a namespace failed, or until when it is to be left alone; undefined: it need not be. */
  namespaceTrouble(namespace: string): Trouble | undefined;
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
    if (one.due !== undefined) {
      due.push(one.due);
    }
    overdue.push(...one.overdue);
    nextAt = Math.min(nextAt, one.nextAt);
    looks += 1;
    if (looks % namespacesInStep === 0) {
      yield;
    }
  }
  return { due: inOrder(due, rules.replica), overdue, nextAt };
}

function* eachPlan({ secrets, lost }: Known, now: Moment, rules: PlanRules): Generator<OnePlan, void> {
  for (const [namespace, secret] of secrets) {
    yield planOf(namespace, secret, now, rules);
  }
  for (const [namespace, secret] of lost) {
    yield planLost(namespace, secret, now, rules);
  }
}

/**
 * The most urgent first. One token serves many namespaces, so many end together: of these each replica begins with
 * others, or all would race for the same ones.
 */
function inOrder(due: readonly Due[], replica: string): Due[] {
  return due
    .map((one) => ({ one, place: hash32(`${replica}/${one.namespace}`) }))
    .sort((a, b) => a.one.endsAt - b.one.endsAt || a.place - b.place)
    .map(({ one }) => one);
}

interface OnePlan extends Omit<Plan, 'due'> {
  readonly due: Due | undefined;
}

/** Plans one namespace. A Secret that is not ours is left alone. */
export function planOf(namespace: string, secret: KnownSecret, now: Moment, rules: PlanRules): OnePlan {
  const { ours, intact, hosts, learnedAt } = secret;
  if (!ours) {
    return { due: undefined, overdue: [], nextAt: Number.POSITIVE_INFINITY };
  }
  const mendAt = intact ? undefined : soonAfter(learnedAt, namespace, now, rules.replica);
  const timeOf = (host: string): Time => {
    const time = dueTime(namespace, host, hosts.get(host), learnedAt, now, rules);
    return mendAt !== undefined && mendAt < time.at ? { at: mendAt, reason: 'edited' } : time;
  };
  return planHosts(namespace, hosts, timeOf, now, rules);
}

function planLost(namespace: string, { hosts, learnedAt }: LostSecret, now: Moment, rules: PlanRules) {
  const at = soonAfter(learnedAt, namespace, now, rules.replica);
  return planHosts(namespace, hosts, () => ({ at, reason: 'deleted' }), now, rules);
}

interface Time {
  readonly at: number;
  readonly reason: DueTime['reason'] | 'edited' | 'deleted';
}

function planHosts(
  namespace: string,
  hosts: HostLives,
  timeOf: (host: string) => Time,
  now: Moment,
  rules: PlanRules,
): OnePlan {
  const ownTrouble = rules.namespaceTrouble(namespace);
  const dueHosts: string[] = [];
  const overdue: Overdue[] = [];
  let first: Time | undefined;
  let endsAt = Number.POSITIVE_INFINITY;
  let nextAt = Number.POSITIVE_INFINITY;
  for (const [host, life] of hosts) {
    const time = timeOf(host);
    if (time.at > now.wall) {
      nextAt = Math.min(nextAt, time.at);
      continue;
    }
    const trouble = laterOf(ownTrouble, rules.regionTrouble(host), life?.expiresAt, now.wall);
    if (trouble !== undefined) {
      overdue.push({ namespace, host, endsAt: life?.expiresAt, trouble });
    }
    const retryAt = trouble === undefined ? now.wall : retryTime(trouble, life?.expiresAt, now.wall);
    if (retryAt > now.wall) {
      nextAt = Math.min(nextAt, retryAt);
      continue;
    }
    dueHosts.push(host);
    first ??= time;
    endsAt = Math.min(endsAt, life?.expiresAt ?? 0);
  }
  const due = first === undefined ? undefined : { namespace, reason: first.reason, hosts: dueHosts, endsAt };
  return { due, overdue, nextAt };
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
function retryTime({ at, retryAt }: Trouble, endsAt: number | undefined, now: number): number {
  return at > now ? now : Math.min(retryAt, at + mostWaitMs(endsAt, now));
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
