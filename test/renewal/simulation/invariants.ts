// What has to be true at any time of the simulation, and the bounds of calls and writes.
import assert from 'node:assert/strict';
import type { Request } from '../../cluster/kube-request.ts';
import { eventually } from '../../support/eventually.ts';
import { hourMs, minuteMs, type SimulatedClock, secondMs } from './clock-and-random.ts';
import type { Outage, Outages } from './incidents.ts';
import {
  findUnhealthyHosts,
  isStillStored,
  regionOf,
  regions,
  type SimulatedCluster,
  type Team,
  type UnhealthyHost,
} from './simulated-cluster.ts';
import { isPrincipalOf } from './simulated-identities.ts';
import { type SimulatedReplica, tickMs } from './simulated-replica.ts';
import type { Simulation } from './simulation.ts';
import { listStoredSecrets, type SecretHistory, type StoredSecret } from './stored-secrets.ts';

/** The longest backoff of the product after a failure, and two ticks. */
export const maxRecoveryMs = 5 * minuteMs + 2 * tickMs;
/** Without failures, a change is repaired or a token added within three ticks. */
const maxRestoreMs = 3 * tickMs;
/**
 * A quarter of a token's lifetime: a token is renewed at half of its lifetime or up to half an hour later, and a replica whose
 * clock is two hours behind considers it two hours younger.
 */
const minRemainingMs = 3 * hourMs;

export interface InvariantDependencies {
  readonly request: Request;
  readonly time: SimulatedClock;
  readonly workload: SimulatedCluster;
  readonly history: SecretHistory;
  readonly outages: Outages;
  readonly seed: number;
  /** Remaining lifetime of a password in ms; zero or less: registries reject it. */
  remainingMs(password: string): number;
  /** Who fetched a password; undefined: there are no identities. */
  principalOf(password: string): string | undefined;
  getRunningReplicas(): readonly SimulatedReplica[];
  /** When the API server last restarted, in true ms since the start. */
  apiServerRestartedAt(): number;
}

/** Checks what has to be true at any time, and throws on a violation. */
export class Invariants {
  /** Number of complete checks. */
  checkCount = 0;
  /** The longest time that a host had no valid token after its region responded again, in ms. */
  longestRecoveryMs = 0;
  readonly #dependencies: InvariantDependencies;
  readonly #uids = new Map<string, string>();

  constructor(dependencies: InvariantDependencies) {
    this.#dependencies = dependencies;
  }

  /** Resolves when all running replicas and the history have the same version of every Secret. */
  async waitUntilInSync(): Promise<void> {
    await eventually('all caches are in sync', () => this.#isInSync(this.#dependencies.history.latest));
  }

  /** Lists the Secrets, waits until all replicas have them in their caches, and checks them. */
  async checkAll(): Promise<void> {
    const stored = await eventually('all caches have the stored Secrets', async () => {
      const listed = await listStoredSecrets(this.#dependencies.request);
      return this.#isInSync(listed) ? listed : undefined;
    });
    this.checkCount += 1;
    const { history, workload, getRunningReplicas } = this.#dependencies;
    this.#assertNone(history.violations);
    this.#assertNone(getRunningReplicas().flatMap(({ errors }) => errors));
    this.#assertNone(
      [...workload.teams.values()].flatMap((team) => this.#checkTeam(team, stored.get(team.namespace))),
    );
    this.#assertNone([...stored.keys()].filter((namespace) => !workload.teams.has(namespace)));
    this.#assertNone(this.#findEndlessRetries());
  }

  /** Records how long the recovery from an outage takes. Makes no calls. */
  recordRecovery(): void {
    const { time, workload, history, remainingMs, outages } = this.#dependencies;
    for (const team of workload.teams.values()) {
      if (team.access === 'denied') {
        continue;
      }
      for (const { host } of findUnhealthyHosts(team, history.latest.get(team.namespace), remainingMs)) {
        const since = outages.respondingSince(regionOf(host));
        if (since !== undefined && since > team.lastChangedAt) {
          this.longestRecoveryMs = Math.max(this.longestRecoveryMs, time.elapsed - since);
        }
      }
    }
  }

  /** Allows the Secret of a namespace to have another UID, because a user deleted it. */
  forgetUid(namespace: string): void {
    this.#uids.delete(namespace);
  }

  #checkTeam(team: Team, secret: StoredSecret | undefined): string[] {
    const { namespace } = team;
    const { time, remainingMs } = this.#dependencies;
    const uid = this.#uids.get(namespace) ?? secret?.uid;
    const problems = uid === secret?.uid ? [] : [`${namespace}: the UID changed`];
    if (secret !== undefined) {
      this.#uids.set(namespace, secret.uid);
    }
    const unhealthyHosts = findUnhealthyHosts(team, secret, remainingMs, minRemainingMs);
    for (const unhealthy of [...unhealthyHosts, ...this.#findOutdatedHosts(team, secret)]) {
      const toleratedUntil = this.#toleratedUntil(team, unhealthy);
      if (time.elapsed > toleratedUntil) {
        const { host, problem } = unhealthy;
        problems.push(`${namespace}: ${host} ${problem}, since ${formatClockTime(toleratedUntil)} or longer`);
      }
    }
    return problems;
  }

  /** Hosts with a token of another identity than the one that applies. */
  #findOutdatedHosts({ namespace, access }: Team, secret: StoredSecret | undefined): UnhealthyHost[] {
    return [...(secret?.passwords ?? [])].flatMap(([host, password]) => {
      const principal = this.#dependencies.principalOf(password);
      return principal === undefined || isPrincipalOf(namespace, [access], principal)
        ? []
        : [{ host, problem: `has a token of ${principal}, but ${access} applies` }];
    });
  }

  /** A host has to be in the annotation even during an outage of ECR; its token only after the outage. */
  #toleratedUntil({ lastChangedAt }: Team, { host, problem }: UnhealthyHost): number {
    const { outages, apiServerRestartedAt } = this.#dependencies;
    const byApiServer = apiServerRestartedAt() + maxRecoveryMs;
    const needsNoToken = problem === 'is not in the annotation' || problem === isStillStored;
    const respondingSince = needsNoToken ? 0 : outages.respondingSince(regionOf(host));
    const byEcr = respondingSince === undefined ? Number.POSITIVE_INFINITY : respondingSince + maxRecoveryMs;
    return Math.max(lastChangedAt + maxRestoreMs, byApiServer, byEcr);
  }

  /** Finds replicas that still retry to restore the Secret of a deleted namespace. */
  #findEndlessRetries(): string[] {
    const { workload, getRunningReplicas } = this.#dependencies;
    return getRunningReplicas().flatMap(({ name, clock, secretCache }) =>
      [...secretCache.deletedSecrets()]
        .filter(([namespace, { observedAt }]) => {
          return workload.deleted.has(namespace) && clock.monotonicMs() - observedAt > maxRecoveryMs;
        })
        .map(([namespace]) => `replica ${name} still retries in ${namespace}, which is deleted`),
    );
  }

  #isInSync(stored: ReadonlyMap<string, StoredSecret>): boolean {
    const { history, getRunningReplicas } = this.#dependencies;
    const isCurrent = (cached: Map<string, string>) =>
      cached.size === stored.size &&
      [...stored.values()].every(({ namespace, version }) => cached.get(namespace) === version);
    const observed = new Map([...history.latest].map(([namespace, { version }]) => [namespace, version]));
    const caches = getRunningReplicas().map(
      ({ secretCache }) =>
        new Map(
          [...secretCache.entries()].map(([namespace, { resourceVersion }]) => [namespace, resourceVersion]),
        ),
    );
    return [observed, ...caches].every(isCurrent);
  }

  #assertNone(problems: readonly string[]): void {
    const { time, seed } = this.#dependencies;
    assert.deepEqual(problems, [], `at ${formatClockTime(time.elapsed)}, SIMULATION_SEED=${seed}`);
  }
}

/** Formats ms since the start as HOURS:MINUTES:SECONDS. */
export function formatClockTime(ms: number): string {
  const twoDigits = (number: number) => String(Math.floor(number)).padStart(2, '0');
  return `${twoDigits(ms / hourMs)}:${twoDigits((ms % hourMs) / minuteMs)}:${twoDigits((ms % minuteMs) / 1000)}`;
}

/** Half of the lifetime of a token of Amazon ECR. */
const halfLifetimeMs = 6 * hourMs;

/** A measured count and its upper bound. */
export interface Bound {
  readonly description: string;
  readonly actual: number;
  readonly max: number;
}

/** Counts the calls and writes of the whole simulation, each with its bound. */
export function getBounds(simulation: Simulation): Bound[] {
  const { everRun } = simulation;
  if (simulation.options.hasIdentities === true) {
    return [...getIdentityCallBounds(simulation), ...getWriteBounds(simulation)];
  }
  const calls = everRun.flatMap((replica) =>
    regions.flatMap((region) => [
      {
        description: `tokens that replica ${replica.name} fetched in ${region}`,
        actual: countCalls(replica, region, true),
        max: maxTokenCalls(replica, region, simulation),
      },
      {
        description: `failed calls of replica ${replica.name} in ${region}`,
        actual: countCalls(replica, region, false),
        max: maxFailedCalls(replica, region, simulation),
      },
    ]),
  );
  return [...calls, ...getWriteBounds(simulation)];
}

/**
 * With one identity per namespace, all replicas together fetch one token for each namespace, region and half of a token's
 * lifetime, because the first one to act stores it. One more for each change, clock step and resumed machine, and for each
 * half of a lifetime in which two replicas act at the same moment.
 */
function getIdentityCallBounds({ options, workload, clockSteps, everRun }: Simulation): Bound[] {
  const { double, time } = options;
  const halfLifetimes = Math.ceil(time.elapsed / halfLifetimeMs);
  const clockEvents = clockSteps.length + everRun.flatMap(({ resumes }) => resumes).length;
  const byNamespace = Map.groupBy(
    double.issued,
    ({ principal }) => principal.split('/')[1]?.split('-').slice(1).join('-') ?? '',
  );
  return [...byNamespace].flatMap(([namespace, issued]) => {
    const changes = workload.secretChanges.filter((change) => change.namespace === namespace).length;
    return regions.map((region) => ({
      description: `tokens fetched for ${namespace} in ${region}`,
      actual: issued.filter((token) => token.region === region).length,
      max: 2 * halfLifetimes + changes + clockEvents,
    }));
  });
}

/**
 * One token at the start of the process, one for each half of a token's lifetime, and one if a pod requests it shortly before
 * renewal would. One more for each clock step, because that replica writes shorter lifetimes; for each time that the machine of
 * this replica resumes and finds everything due; and for each user edit that had to be repaired.
 */
function maxTokenCalls(
  replica: SimulatedReplica,
  region: string,
  { clockSteps, workload, options }: Simulation,
): number {
  const { startedAt, killedAt = options.time.elapsed, resumes } = replica;
  const wasRunning = ({ at }: { readonly at: number }) => startedAt <= at && at <= killedAt;
  const edits = workload.edits.filter(
    (edit) => wasRunning(edit) && [...edit.hosts].map(regionOf).includes(region),
  );
  const halfLifetimes = Math.floor((killedAt - startedAt) / halfLifetimeMs);
  return 2 + halfLifetimes + clockSteps.filter(wasRunning).length + resumes.length + edits.length;
}

/**
 * While a region fails, calls back off: `callsToMax` calls until the backoff is at its maximum, of which jitter subtracts at most
 * one half. Shortly before tokens expire, the backoff is a twentieth of the remaining lifetime: 20 · ln(max/min) more calls and 20
 * at the minimum, for each of the tokens that the replicas have stored.
 */
function maxFailedCalls(
  { startedAt, killedAt }: SimulatedReplica,
  region: string,
  { outages, options }: Simulation,
): number {
  const ofRegion = outages.all.filter((outage) => outage.region === region);
  const maxCalls = ({ from, until = options.time.elapsed, permanent }: Outage): number => {
    const durationMs = Math.min(until, killedAt ?? until) - Math.max(from, startedAt);
    const [callsToMax, maxBackoffMs] = permanent ? [6, 5 * minuteMs] : [8, 2 * minuteMs];
    const beforeExpiry =
      durationMs > halfLifetimeMs ? 3 * (20 * Math.log(maxBackoffMs / (5 * secondMs)) + 20) : 0;
    return durationMs <= 0 ? 0 : callsToMax + durationMs / (maxBackoffMs / 2) + beforeExpiry;
  };
  return Math.ceil(ofRegion.reduce((sum, outage) => sum + maxCalls(outage), 0));
}

/**
 * A token replaces another one only if it expires at least a quarter of a lifetime (3 h) later. So of the tokens that are fetched
 * within half a lifetime, at most two are stored for a host. Before them, each of the three replicas may store the token that it
 * fetched earlier. Usually there is one write. One more for each change by users and pods, for each clock step, and for each
 * machine that resumed.
 */
function getWriteBounds({ history, workload, clockSteps, everRun }: Simulation): Bound[] {
  const clockEvents = [...clockSteps, ...everRun.flatMap(({ resumes }) => resumes)];
  const byNamespace = Map.groupBy(history.writes, ({ namespace }) => namespace);
  return [...byNamespace].flatMap(([namespace, writes]) =>
    writes.map(({ at: from }) => {
      const isWithin = ({ at }: { readonly at: number }) => from <= at && at < from + halfLifetimeMs;
      const changes = workload.secretChanges.filter(
        (change) => change.namespace === namespace && isWithin(change),
      );
      const hosts = workload.everUsed.get(namespace)?.size ?? 0;
      const within = writes.filter(isWithin);
      const listed = within.map(({ at, effect }) => `${formatClockTime(at)} ${effect}`).join(', ');
      return {
        description: `writes to ${namespace} in half a token lifetime: ${listed}`,
        actual: within.length,
        max: 5 * hosts + changes.length + clockEvents.filter(isWithin).length,
      };
    }),
  );
}

function countCalls(replica: SimulatedReplica, region: string, isSuccess: boolean): number {
  return replica.calls.filter((call) => call.region === region && (call.outcome === 'success') === isSuccess)
    .length;
}
