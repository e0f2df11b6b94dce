import assert from 'node:assert/strict';
import type { Cluster } from '../../cluster/cluster.ts';
import type { EcrDouble } from '../../doubles/ecr/ecr-double.ts';
import { installServiceAccount } from '../../support/installation.ts';
import { hourMs, minuteMs, Random, type SimulatedClock } from './clock-and-random.ts';
import { createIncidentActions, type Incident, Outages, schedule } from './incidents.ts';
import { formatClockTime, Invariants, maxRecoveryMs } from './invariants.ts';
import { SecretHistory } from './secret-history.ts';
import { regionOf, regions, SimulatedCluster, type Team } from './simulated-cluster.ts';
import { SimulatedReplica, tickMs } from './simulated-replica.ts';

export interface SimulationOptions {
  readonly cluster: Cluster;
  readonly seed: number;
  readonly time: SimulatedClock;
  /** On the same clock. */
  readonly double: EcrDouble;
  /** Told what happens. */
  print(line: string): void;
  /** Called after each step. */
  onStep?(simulation: Simulation): void;
}

/** Between two looks at everything: soon after a trouble, and in quiet times. */
const stepMs = { troubled: minuteMs, quiet: 5 * minuteMs };
const incidentWindowMs = 30 * minuteMs;
/** A namespace comes and one goes, this often. */
const turnoverMs = 45 * minuteMs;
/** A pod with one more registry comes to some namespace, this often. */
const newHostMs = 170 * minuteMs;

/** All that plays a part, from the first pods to the end. */
export class Simulation {
  readonly history: SecretHistory;
  readonly outages: Outages;
  readonly workload: SimulatedCluster;
  readonly checks: Invariants;
  /** In places that are taken anew; those that died stay in `everRun`. */
  readonly replicas: SimulatedReplica[] = [];
  readonly everRun: SimulatedReplica[] = [];
  readonly clockSteps: { readonly at: number }[] = [];
  apiServerBackAt = Number.NEGATIVE_INFINITY;
  readonly options: SimulationOptions;
  readonly random: Random;
  readonly #pendingIncidents: Incident[] = [...schedule];
  #account = '';
  #lastIncidentAt = Number.NEGATIVE_INFINITY;

  constructor(options: SimulationOptions) {
    const { cluster, double, time, seed } = options;
    this.options = options;
    this.random = new Random(seed);
    const { request, kubeconfigPath } = cluster;
    const leftOf = createRemainingLifetime(double, time);
    this.history = new SecretHistory({ kubeconfigPath, time, leftOf });
    this.outages = new Outages(double, time);
    this.workload = new SimulatedCluster({ request, time, history: this.history, random: this.random });
    const { history, workload, outages } = this;
    const running = () => this.running();
    const apiServerBackAt = () => this.apiServerBackAt;
    const known = { request, time, seed, leftOf, history, workload, outages };
    this.checks = new Invariants({ ...known, running, apiServerBackAt });
  }

  running(): SimulatedReplica[] {
    return this.replicas.filter(({ running }) => running);
  }

  /** Three replicas, and the first pods of the namespaces. */
  async begin(namespaces: number): Promise<void> {
    this.#account = await installServiceAccount(this.options.cluster);
    await this.history.start();
    await Promise.all([0, 1, 2].map((place) => this.startReplica(place)));
    const first = Array.from({ length: namespaces }, () => this.workload.create(regions));
    await Promise.all(first.map(async (team) => this.#admit(await team)));
    await this.checks.checkAll();
  }

  /** Lives through some simulated time. */
  async advance(ms: number): Promise<void> {
    const { time } = this.options;
    const end = time.elapsed + ms;
    while (time.elapsed < end) {
      const troubled = time.elapsed - this.#lastIncidentAt < incidentWindowMs;
      const stepEnd = Math.min(end, time.elapsed + (troubled ? stepMs.troubled : stepMs.quiet));
      while (time.elapsed < stepEnd) {
        await this.#tick();
      }
      await this.#runWorkload();
      await this.checks.checkAll();
      this.options.onStep?.(this);
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.everRun.map((replica) => replica.stop()));
    await this.history.stop();
  }

  async startReplica(place: number): Promise<void> {
    const { time, double } = this.options;
    const replica = await SimulatedReplica.start({
      name: `${place}-${this.everRun.length}`,
      time,
      kubeconfigPath: this.#account,
      environment: double.env(),
      random: () => this.random.next(),
    });
    this.replicas[place] = replica;
    this.everRun.push(replica);
  }

  /** One look of all replicas at the clock; trouble comes while they are at work. */
  async #tick(): Promise<void> {
    this.options.time.advance(tickMs);
    const began = this.running().map((replica) => replica.tick());
    const troubled = await this.#runDueIncidents();
    await Promise.all(this.running().map((replica) => replica.settled()));
    if (troubled || began.includes(true)) {
      await this.checks.waitUntilInSync();
    }
    this.checks.recordRecovery();
  }

  async #runDueIncidents(): Promise<boolean> {
    const { elapsed } = this.options.time;
    let troubled = false;
    while ((this.#pendingIncidents[0]?.at ?? Number.POSITIVE_INFINITY) <= elapsed) {
      const row = this.#pendingIncidents.shift();
      await row?.run(createIncidentActions(this));
      troubled = true;
      if (row?.isRoutine !== true) {
        this.options.print(`${formatClockTime(elapsed)} ${row?.description}`);
        this.#lastIncidentAt = elapsed;
      }
    }
    return troubled;
  }

  /** What goes on in a cluster beside trouble: namespaces come and go, and pods start all the time. */
  async #runWorkload(): Promise<void> {
    const { elapsed } = this.options.time;
    const someTeam = () => this.random.pick(this.workload.busyTeams);
    const isTime = (everyMs: number) => elapsed % everyMs < stepMs.troubled;
    if (isTime(turnoverMs)) {
      await this.workload.delete(someTeam());
      await this.#admit(await this.workload.create());
    }
    if (isTime(newHostMs)) {
      const team = someTeam();
      this.workload.addHost(team);
      await this.#admit(team);
    }
    await this.#admit(someTeam());
  }

  /** A pod comes to some replica; it is short of a token only where ECR has just failed. */
  async #admit({ namespace, hosts }: Team): Promise<void> {
    const replica = this.random.pick(this.running());
    const missing = await replica.admit(namespace, [...hosts]);
    const { elapsed } = this.options.time;
    const unexpected = missing.filter(({ host }) => {
      const since = this.outages.respondingSince(regionOf(host));
      return since !== undefined && elapsed - since > maxRecoveryMs;
    });
    assert.deepEqual(unexpected, [], `a pod in ${namespace} at ${formatClockTime(elapsed)}`);
  }
}

/** What passwords have left of their lives in ms, by the double's word; minus infinity for one it never gave. */
function createRemainingLifetime(double: EcrDouble, time: SimulatedClock): (password: string) => number {
  const ends = new Map<string, number>();
  return (password) => {
    for (const { password, expiresAt } of double.issued.slice(ends.size)) {
      ends.set(password, expiresAt);
    }
    return (ends.get(password) ?? Number.NEGATIVE_INFINITY) - time.now();
  };
}

/** How long the simulation lasts. */
export const durationMs = 48 * hourMs;
