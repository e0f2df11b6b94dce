// Plans which hosts of which namespaces are due for renewal, which are overdue, and when the next one is due.
import type { IdentityDecision, UnresolvedIdentity } from '../ecr/identity.ts';
import {
  type ClockReading,
  computeDueTime,
  computePromptTime,
  computeScheduledTime,
  type DueTime,
  getFreshUntil,
  type HostRule,
  isUnexpired,
  jitterAfter,
  maxRetryDelayMs,
  type StoredLifetime,
  toWallMs,
  type Validity,
} from '../ecr/token-policy.ts';
import { describeUnresolved } from '../ecr/unresolved-failure.ts';
import { hasTrustedHosts } from '../pull-secrets/cached-secret.ts';
import type { HostLifetimes } from '../pull-secrets/hosts-annotation.ts';
import type { CachedSecret, DeletedSecret } from '../pull-secrets/secret-cache.ts';
import { unmanagedSecretCode } from '../pull-secrets/unavailable-host.ts';
import type { NamespaceUnstoredHosts } from '../pull-secrets/unstored-hosts.ts';
import { hash32 } from '../util/hash.ts';
import {
  type Due,
  type DueKind,
  flappingCode,
  type HostFailure,
  type Overdue,
  type Plan,
  type PlanRules,
} from './plan-types.ts';
import { emptyPlan, type NamespaceState, planUnstored } from './unstored-plan.ts';

export interface ClusterState {
  readonly secrets: Iterable<readonly [string, CachedSecret]>;
  readonly deleted: Iterable<readonly [string, DeletedSecret]>;
  /** Hosts that could not be stored, by namespace. */
  readonly unstored?: ReadonlyMap<string, NamespaceUnstoredHosts> | undefined;
}

/** Namespaces that are planned in one step, which takes one or two milliseconds. */
const namespacesPerStep = 500;

/**
 * Plans all cached Secrets. Each namespace is planned on its own, so none prevents the renewal of another. Yields after every
 * {@link namespacesPerStep}, so that the caller can give way to the event loop. A Secret that changes between two steps is
 * planned in its old or new state, and can be planned twice.
 */
export function* planInSteps(
  state: ClusterState,
  now: ClockReading,
  rules: PlanRules,
): Generator<undefined, Plan> {
  const memoizedRules = memoizePerIdentity(rules);
  const due: Due[] = [];
  const overdue: Overdue[] = [];
  let nextAt = Number.POSITIVE_INFINITY;
  let lateSince = Number.POSITIVE_INFINITY;
  let planned = 0;
  for (const plan of planEach(state, now, memoizedRules)) {
    due.push(...plan.due);
    overdue.push(...plan.overdue);
    nextAt = Math.min(nextAt, plan.nextAt);
    lateSince = Math.min(lateSince, plan.lateSince);
    planned += 1;
    if (planned % namespacesPerStep === 0) {
      yield;
    }
  }
  return { due: sortDue(due, rules), overdue, nextAt, lateSince };
}

function* planEach(
  { secrets, deleted, unstored = new Map<string, NamespaceUnstoredHosts>() }: ClusterState,
  now: ClockReading,
  rules: PlanRules,
): Generator<Plan, void> {
  const remaining = new Set(unstored.keys());
  for (const [namespace, secret] of secrets) {
    remaining.delete(namespace);
    yield planNamespace(namespace, { secret, unstored: unstored.get(namespace) }, now, rules);
  }
  for (const [namespace, deletedSecret] of deleted) {
    remaining.delete(namespace);
    yield planNamespace(namespace, { deleted: deletedSecret, unstored: unstored.get(namespace) }, now, rules);
  }
  for (const namespace of remaining) {
    yield planNamespace(namespace, { unstored: unstored.get(namespace) }, now, rules);
  }
}

/**
 * Sorts namespaces in which this replica has started no renewal recently to the front, because a tenant can make its own
 * namespace appear urgent at any time. Among these, the earliest expiry comes first. One token serves many namespaces, so many
 * expire at the same time: each replica orders those differently, so that replicas do not race for the same ones.
 */
function sortDue(due: readonly Due[], { replica, lastStartAt }: PlanRules): Due[] {
  return due
    .map((item) => ({
      item,
      lastStart: lastStartAt(item.namespace) ?? Number.NEGATIVE_INFINITY,
      rank: hash32(`${replica}/${item.namespace}`),
    }))
    .sort((a, b) => a.lastStart - b.lastStart || a.item.expiresAt - b.item.expiresAt || a.rank - b.rank)
    .map(({ item }) => item);
}

/** Plans one namespace: at most one {@link Due} of each kind. An unmanaged Secret is not written, but its hosts are overdue. */
export function planNamespace(
  namespace: string,
  state: NamespaceState,
  now: ClockReading,
  rules: PlanRules,
): Plan {
  const stored = planStored(namespace, state, now, rules);
  if (state.unstored === undefined && state.secret?.isManaged !== false) {
    return stored;
  }
  const lastFailure = shortenResolvedRetry(rules.namespaceFailure(namespace, 'missing'));
  const writeFailure = lastFailure?.code === flappingCode ? undefined : lastFailure;
  const unstored = planUnstored(namespace, state, writeFailure, now, rules);
  return {
    due: mergeDue([...unstored.due, ...stored.due]),
    overdue: [...unstored.overdue, ...stored.overdue],
    nextAt: Math.min(unstored.nextAt, stored.nextAt),
    lateSince: stored.lateSince,
  };
}

function planStored(
  namespace: string,
  { secret, deleted }: NamespaceState,
  now: ClockReading,
  rules: PlanRules,
): Plan {
  if (secret?.isManaged === true) {
    return planSecret(namespace, secret, now, rules);
  }
  return secret === undefined && deleted !== undefined
    ? planDeletedSecret(namespace, deleted, now, rules)
    : emptyPlan;
}

/** Maximum delay of the retry after an unmanaged Secret was removed, in ms after the last attempt. */
const resolvedRetryMs = 1_000;

/**
 * Shortens the backoff if an unmanaged Secret was the cause of the failure. Only called when there is no such Secret any more, so
 * the cause is gone.
 */
function shortenResolvedRetry(failure: HostFailure | undefined): HostFailure | undefined {
  return failure?.code === unmanagedSecretCode
    ? { ...failure, retryAt: Math.min(failure.retryAt, failure.at + resolvedRetryMs) }
    : failure;
}

function mergeDue(due: readonly Due[]): Due[] {
  return [...Map.groupBy(due, ({ kind }) => kind).values()].flatMap((ofKind) => {
    const last = ofKind.at(-1); // the reason of the Secret's own hosts wins
    const hosts = ofKind.flatMap((item) => item.hosts);
    const expiresAt = Math.min(...ofKind.map((item) => item.expiresAt));
    return last === undefined ? [] : [{ ...last, hosts, expiresAt }];
  });
}

function planSecret(namespace: string, secret: CachedSecret, now: ClockReading, rules: PlanRules): Plan {
  const { isIntact, hosts, observedAt } = secret;
  const repairAt = isIntact ? undefined : jitterAfter(observedAt, namespace, now, rules.replica);
  const timeOf = (host: string, decision: IdentityDecision): HostDueTime => {
    if (decision.access === 'unresolved') {
      return { at: repairAt ?? Number.POSITIVE_INFINITY, reason: 'edited' };
    }
    const stored = { namespace, host, lifetime: hosts.get(host), observedAt, decision };
    const time = computeDueTime(stored, now, rules);
    const isRepairedFirst = repairAt !== undefined && (repairAt < time.at || time.reason === 'denied');
    return isRepairedFirst ? { at: repairAt, reason: 'edited' } : time;
  };
  return planHosts({ namespace, hosts, observedAt, timeOf, isTrusted: hasTrustedHosts(secret) }, now, rules);
}

function planDeletedSecret(
  namespace: string,
  deleted: DeletedSecret,
  now: ClockReading,
  rules: PlanRules,
): Plan {
  const { isIntact: isTrusted, observedAt } = deleted;
  const isAllowed = ([host]: readonly [string, unknown]) =>
    rules.identityOf(namespace, host).access !== 'denied';
  const hosts = new Map([...deleted.hosts].filter(isAllowed));
  const at = computePromptTime(namespace, observedAt, now, rules);
  const timeOf = (): HostDueTime => ({ at, reason: 'deleted' });
  return planHosts({ namespace, hosts, observedAt, timeOf, isTrusted }, now, rules);
}

interface HostDueTime {
  readonly at: number;
  readonly reason: DueTime['reason'] | 'edited' | 'deleted';
}

interface HostsOfSecret {
  readonly namespace: string;
  readonly hosts: HostLifetimes;
  /** When this state was first observed, in ms of the monotonic clock. */
  readonly observedAt: number;
  timeOf(host: string, decision: IdentityDecision): HostDueTime;
  /** Whether this program wrote the hosts. Hosts that others wrote must not fill metrics, Events and alerts. */
  readonly isTrusted: boolean;
}

function planHosts(secret: HostsOfSecret, now: ClockReading, rules: PlanRules): Plan {
  const { namespace, isTrusted } = secret;
  const due: Partial<Record<DueKind, MutableDue>> = {};
  const overdue: Overdue[] = [];
  let nextAt = Number.POSITIVE_INFINITY;
  let lateSince = Number.POSITIVE_INFINITY;
  for (const [host, lifetime] of secret.hosts) {
    const { reason, kind, nextAttemptAt, ownFailure, report } = planHost(host, lifetime, secret, now, rules);
    if (lifetime !== undefined && isTrusted && reason !== 'denied' && reason !== 'deleted') {
      lateSince = Math.min(lateSince, findLateSince(namespace, lifetime, now, rules));
    }
    if (report !== undefined && isTrusted) {
      overdue.push(report);
    } else if (ownFailure !== undefined && overdue.every((other) => other.kind !== kind)) {
      overdue.push({ namespace, host, kind, expiresAt: undefined, failure: ownFailure }); // the repair itself fails
    }
    if (nextAttemptAt > now.wallMs) {
      nextAt = Math.min(nextAt, nextAttemptAt);
      continue;
    }
    due[kind] ??= { namespace, kind, reason, hosts: [], expiresAt: Number.POSITIVE_INFINITY };
    due[kind].hosts.push(host);
    due[kind].expiresAt = Math.min(due[kind].expiresAt, lifetime?.expiresAt ?? Number.POSITIVE_INFINITY);
  }
  return { due: Object.values(due), overdue, nextAt, lateSince };
}

/** When the renewal of a token became due by its lifetime alone, in ms since the epoch; infinite if it is not due. */
function findLateSince(
  namespace: string,
  lifetime: StoredLifetime,
  { wallMs }: ClockReading,
  rules: PlanRules,
): number {
  if (wallMs <= getFreshUntil(lifetime, rules.freshness)) {
    return Number.POSITIVE_INFINITY;
  }
  const scheduledAt = computeScheduledTime(lifetime, namespace, rules);
  return scheduledAt <= wallMs ? scheduledAt : Number.POSITIVE_INFINITY;
}

interface PlannedHost {
  readonly reason: HostDueTime['reason'];
  readonly kind: DueKind;
  /** When the host is renewed next, in ms since the epoch; infinite if it is not. */
  readonly nextAttemptAt: number;
  /** Why the last renewal of this kind of hosts failed in the namespace. */
  readonly ownFailure?: HostFailure | undefined;
  /** What to report about the host; undefined: nothing prevents its renewal. */
  readonly report?: Overdue | undefined;
}

function planHost(
  host: string,
  lifetime: StoredLifetime | undefined,
  { namespace, observedAt, timeOf }: HostsOfSecret,
  now: ClockReading,
  rules: PlanRules,
): PlannedHost {
  const decision = rules.identityOf(namespace, host);
  const { at, reason } = timeOf(host, decision);
  const kind = determineKind(reason, lifetime, now);
  const expiresAt = lifetime?.expiresAt;
  const basics = { namespace, host, kind, expiresAt };
  const unresolved =
    decision.access === 'unresolved'
      ? {
          ...{ ...basics, isUnresolved: true },
          failure: createUnresolvedFailure(namespace, decision, observedAt, now, rules),
        }
      : undefined;
  if (at > now.wallMs) {
    return { reason, kind, nextAttemptAt: at, report: unresolved };
  }
  const ownFailure = findOwnFailure(namespace, kind, decision, rules);
  // A deleted Secret is written again even without tokens, so that its hosts are stored, and a deleted namespace is noticed.
  const needsRegion = decision.access === 'allowed' && reason !== 'deleted';
  const regionFailure = needsRegion ? rules.regionFailure(namespace, host, decision) : undefined;
  const failure = selectLaterRetry(ownFailure, regionFailure, expiresAt, now.wallMs);
  if (failure === undefined) {
    return { reason, kind, nextAttemptAt: now.wallMs, report: unresolved };
  }
  const isUrgent = kind === 'missing' && isWriteFailure(ownFailure);
  const nextAttemptAt = computeRetryAt(failure, expiresAt, now.wallMs);
  return { reason, kind, nextAttemptAt, ownFailure, report: { ...basics, failure, isUrgent } };
}

/**
 * Why the last renewal of this kind of hosts failed in the namespace. A denied host needs no token, so only the write that
 * removes it can fail. What failed before the identities of the namespace changed does not delay the new ones, except writes.
 */
function findOwnFailure(
  namespace: string,
  kind: DueKind,
  decision: IdentityDecision,
  rules: PlanRules,
): HostFailure | undefined {
  const failure = shortenResolvedRetry(rules.namespaceFailure(namespace, kind));
  if (failure === undefined || isWriteFailure(failure) || failure.code === flappingCode) {
    return failure;
  }
  const isOutdated = failure.at < (rules.identityChangedAt(namespace) ?? Number.NEGATIVE_INFINITY);
  return decision.access === 'denied' || isOutdated ? undefined : failure;
}

/** A host without a known identity fails from the start. There is no retry time, because every change of the facts is planned. */
function createUnresolvedFailure(
  namespace: string,
  decision: UnresolvedIdentity,
  observedAt: number,
  now: ClockReading,
  { startedAt, identityChangedAt }: PlanRules,
): HostFailure {
  const changedAt = identityChangedAt(namespace) ?? Number.NEGATIVE_INFINITY;
  const since = Math.max(startedAt, changedAt, toWallMs(observedAt, now));
  return {
    ...describeUnresolved(decision),
    ...{ since, at: since, retryAt: Number.POSITIVE_INFINITY },
  };
}

function isWriteFailure(failure: HostFailure | undefined): boolean {
  return failure?.cause === 'write';
}

/** A {@link Due} that is being built. */
type MutableDue = Omit<Due, 'hosts' | 'expiresAt'> & { readonly hosts: string[]; expiresAt: number };

function determineKind(
  reason: HostDueTime['reason'],
  lifetime: Validity | undefined,
  now: ClockReading,
): DueKind {
  return reason !== 'deleted' && lifetime !== undefined && isUnexpired(lifetime.expiresAt, now.wallMs)
    ? 'valid'
    : 'missing';
}

/** Returns the failure with the later retry time. */
function selectLaterRetry(
  a: HostFailure | undefined,
  b: HostFailure | undefined,
  expiresAt: number | undefined,
  now: number,
): HostFailure | undefined {
  if (a === undefined || b === undefined) {
    return a ?? b;
  }
  return computeRetryAt(a, expiresAt, now) > computeRetryAt(b, expiresAt, now) ? a : b;
}

/** The time of the next attempt; now if the clock was set back to before the last attempt. */
function computeRetryAt(
  { at, retryAt, code }: HostFailure,
  expiresAt: number | undefined,
  now: number,
): number {
  if (at > now) {
    return now;
  }
  // when flapping, another writer may have made up the expiry, so it does not shorten the backoff
  return code === flappingCode ? retryAt : Math.min(retryAt, at + maxRetryDelayMs(expiresAt, now));
}

/**
 * Evaluates the rules once per plan, identity and host, because 10,000 namespaces share a few hosts and identities. For
 * identities that differ from namespace to namespace, there is nothing to share.
 */
function memoizePerIdentity(rules: PlanRules): PlanRules {
  const memoize = <T>(compute: HostRule<T>): HostRule<T> => {
    const byIdentity = new Map<string | undefined, Map<string, T | undefined>>();
    return (namespace, host, decision) => {
      if (decision.access !== 'allowed' || decision.identity.isNamespaced) {
        return compute(namespace, host, decision);
      }
      const { fingerprint } = decision.identity;
      const results = byIdentity.get(fingerprint) ?? new Map<string, T | undefined>();
      byIdentity.set(fingerprint, results);
      if (!results.has(host)) {
        results.set(host, compute(namespace, host, decision));
      }
      return results.get(host);
    };
  };
  return {
    ...rules,
    cachedToken: memoize(rules.cachedToken),
    regionFailure: memoize(rules.regionFailure),
  };
}
