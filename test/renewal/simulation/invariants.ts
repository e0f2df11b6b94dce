import assert from 'node:assert/strict';
import type { Request } from '../../cluster/kube-request.ts';
import { eventually } from '../../support/eventually.ts';
import { hourMs, minuteMs, type SimulatedClock } from './clock-and-random.ts';
import type { Outages } from './incidents.ts';
import type { SecretHistory } from './secret-history.ts';
import {
  findUnhealthyHosts,
  listStored,
  regionOf,
  type SimulatedCluster,
  type StoredSecret,
  type Team,
} from './simulated-cluster.ts';
import { type SimulatedReplica, tickMs } from './simulated-replica.ts';

/** The longest that the product leaves a region or a namespace alone after a failure, and two looks at the clock. */
export const maxRecoveryMs = 5 * minuteMs + 2 * tickMs;
/** Where nothing fails, a change is mended or filled in within three looks at the clock. */
const maxRestoreMs = 3 * tickMs;
/**
 * A quarter of a token's life. Half of it is over at most when it is renewed, and another half an hour; with a clock that
 * is two hours behind, it was given to a pod when it looked two hours younger.
 */
const minRemainingMs = 3 * hourMs;

export interface InvariantDependencies {
  readonly request: Request;
  readonly time: SimulatedClock;
  readonly workload: SimulatedCluster;
  readonly history: SecretHistory;
  readonly outages: Outages;
  readonly seed: number;
  /** What a password has left of its life, ms; none or less: no registry takes it. */
  leftOf(password: string): number;
  /** Those that run now. */
  running(): readonly SimulatedReplica[];
  /** When the API server last came back, ms since the start. */
  apiServerBackAt(): number;
}

/** What has to be true at any time. Throws at the first thing that is not. */
export class Invariants {
  /** How often all was looked at. */
  count = 0;
  /** How long a host was without a living token though its region answered again, at most, in ms. */
  longestRecoveryMs = 0;
  readonly #dependencies: InvariantDependencies;
  readonly #uids = new Map<string, string>();

  constructor(parts: InvariantDependencies) {
    this.#dependencies = parts;
  }

  /** Resolves when all running replicas, and the history, know the same version of every Secret. */
  async waitUntilInSync(): Promise<void> {
    await eventually(
      'all views have caught up',
      () => this.#isInSync(this.#dependencies.history.latest),
      20_000,
    );
  }

  /** Reads the truth from the API server, waits until everybody knows it, and judges it. */
  async checkAll(): Promise<void> {
    const truth = await eventually(
      'all views have the truth',
      async () => {
        const listed = await listStored(this.#dependencies.request);
        return this.#isInSync(listed) ? listed : undefined;
      },
      20_000,
    );
    this.count += 1;
    const { history, workload, running } = this.#dependencies;
    this.#assertNone(history.violations);
    this.#assertNone(running().flatMap(({ errors }) => errors));
    this.#assertNone(
      [...workload.teams.values()].flatMap((team) => this.#checkTeam(team, truth.get(team.namespace))),
    );
    this.#assertNone([...truth.keys()].filter((namespace) => !workload.teams.has(namespace)));
    this.#assertNone(this.#findAbandonedRetries());
  }

  /** Notes how long it takes until all is well after an outage. Asks nobody. */
  recordRecovery(): void {
    const { time, workload, history, leftOf, outages } = this.#dependencies;
    for (const team of workload.teams.values()) {
      for (const { host } of findUnhealthyHosts(team, history.latest.get(team.namespace), leftOf)) {
        const since = outages.respondingSince(regionOf(host));
        if (since !== undefined && since > team.lastChangedAt) {
          this.longestRecoveryMs = Math.max(this.longestRecoveryMs, time.elapsed - since);
        }
      }
    }
  }

  /** A Secret that a person deleted may come back with another UID. */
  forgetUid(namespace: string): void {
    this.#uids.delete(namespace);
  }

  #checkTeam(team: Team, secret: StoredSecret | undefined): string[] {
    const { namespace } = team;
    const { time, leftOf } = this.#dependencies;
    const uid = this.#uids.get(namespace) ?? secret?.uid;
    const problems = uid === secret?.uid ? [] : [`${namespace}: the UID changed`];
    if (secret !== undefined) {
      this.#uids.set(namespace, secret.uid);
    }
    for (const { host, what } of findUnhealthyHosts(team, secret, leftOf, minRemainingMs)) {
      const excused = this.#excusedUntil(team, host, what);
      if (time.elapsed > excused) {
        problems.push(`${namespace}: ${host} ${what}; should be well since ${formatClockTime(excused)}`);
      }
    }
    return problems;
  }

  /** A host has to be named, whatever ECR does; for a token to be there, it has to be given. */
  #excusedUntil({ lastChangedAt }: Team, host: string, what: string): number {
    const { outages, apiServerBackAt } = this.#dependencies;
    const byApiServer = apiServerBackAt() + maxRecoveryMs;
    const answers = what === 'is not named' ? 0 : outages.respondingSince(regionOf(host));
    const byEcr = answers === undefined ? Number.POSITIVE_INFINITY : answers + maxRecoveryMs;
    return Math.max(lastChangedAt + maxRestoreMs, byApiServer, byEcr);
  }

  /** Nobody tries for ever to bring back the Secret of a namespace that is gone. */
  #findAbandonedRetries(): string[] {
    const { workload, running } = this.#dependencies;
    return running().flatMap(({ name, clock, secretCache }) =>
      [...secretCache.deletedSecrets()]
        .filter(([namespace, { observedAt }]) => {
          return workload.deleted.has(namespace) && clock.monotonicMs() - observedAt > maxRecoveryMs;
        })
        .map(([namespace]) => `${namespace} is gone, and replica ${name} does not let go`),
    );
  }

  #isInSync(truth: ReadonlyMap<string, StoredSecret>): boolean {
    const { history, running } = this.#dependencies;
    const knows = (known: Map<string, string>) =>
      known.size === truth.size &&
      [...truth.values()].every(({ namespace, version }) => known.get(namespace) === version);
    const told = new Map([...history.latest].map(([namespace, { version }]) => [namespace, version]));
    const views = running().map(
      ({ secretCache }) =>
        new Map(
          [...secretCache.entries()].map(([namespace, { resourceVersion }]) => [namespace, resourceVersion]),
        ),
    );
    return [told, ...views].every(knows);
  }

  #assertNone(problems: readonly string[]): void {
    const { time, seed } = this.#dependencies;
    assert.deepEqual(problems, [], `at ${formatClockTime(time.elapsed)}, SIMULATION_SEED=${seed}`);
  }
}

/** HOURS:MINUTES:SECONDS of ms since the start. */
export function formatClockTime(ms: number): string {
  const two = (number: number) => String(Math.floor(number)).padStart(2, '0');
  return `${two(ms / hourMs)}:${two((ms % hourMs) / minuteMs)}:${two((ms % minuteMs) / 1000)}`;
}
