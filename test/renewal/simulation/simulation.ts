// Runs the simulation: replicas, workload, incidents and checks on simulated time; formats its summary.
import assert from 'node:assert/strict';
import type { Cluster } from '../../cluster/cluster.ts';
import type { EcrDouble } from '../../doubles/ecr/ecr-double.ts';
import { installServiceAccount } from '../../support/installation.ts';
import { hourMs, minuteMs, Random, type SimulatedClock, secondMs } from './clock-and-random.ts';
import { createIncidentActions, type Incident, Outages, schedule } from './incidents.ts';
import { formatClockTime, getBounds, Invariants, maxRecoveryMs } from './invariants.ts';
import { regionOf, regions, SimulatedCluster, type Team } from './simulated-cluster.ts';
import { SimulatedReplica, tickMs } from './simulated-replica.ts';
import { SecretHistory } from './stored-secrets.ts';

export interface SimulationOptions {
  readonly cluster: Cluster;
  readonly seed: number;
  readonly time: SimulatedClock;
  /** Uses the same clock. */
  readonly double: EcrDouble;
  /** Called with each incident. */
  print(line: string): void;
  /** Called after each step. */
  onStep?(simulation: Simulation): void;
}

/** Interval between two complete checks: soon after an incident, and otherwise. */
const stepMs = { afterIncident: minuteMs, quiet: 5 * minuteMs };
const incidentWindowMs = 30 * minuteMs;
/** Interval at which one namespace is created and one deleted. */
const turnoverMs = 45 * minuteMs;
/** Interval at which a pod with one more registry is created. */
const newHostMs = 170 * minuteMs;

/** A cluster with three replicas from the first pods to the end of the simulated time. */
export class Simulation {
  readonly history: SecretHistory;
  readonly outages: Outages;
  readonly workload: SimulatedCluster;
  readonly invariants: Invariants;
  /** A new replica takes the index of a killed one. */
  readonly replicas: SimulatedReplica[] = [];
  /** Including killed replicas. */
  readonly everRun: SimulatedReplica[] = [];
  readonly clockSteps: { readonly at: number }[] = [];
  apiServerRestartedAt = Number.NEGATIVE_INFINITY;
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
    const remainingMs = createRemainingLifetime(double, time);
    this.history = new SecretHistory({ kubeconfigPath, time, remainingMs });
    this.outages = new Outages(double, time);
    this.workload = new SimulatedCluster({ request, time, history: this.history, random: this.random });
    const { history, workload, outages } = this;
    const getRunningReplicas = () => this.getRunningReplicas();
    const apiServerRestartedAt = () => this.apiServerRestartedAt;
    const observed = { request, time, seed, remainingMs, history, workload, outages };
    this.invariants = new Invariants({
      ...observed,
      getRunningReplicas,
      apiServerRestartedAt,
    });
  }

  getRunningReplicas(): SimulatedReplica[] {
    return this.replicas.filter(({ isRunning }) => isRunning);
  }

  /** Starts three replicas, and creates the namespaces with their first pods. */
  async start(namespaces: number): Promise<void> {
    this.#account = await installServiceAccount(this.options.cluster);
    await this.history.start();
    await Promise.all([0, 1, 2].map((index) => this.startReplica(index)));
    const first = Array.from({ length: namespaces }, () => this.workload.create(regions));
    await Promise.all(first.map(async (team) => this.#admit(await team)));
    await this.invariants.checkAll();
  }

  /** Runs for some simulated time. */
  async advance(ms: number): Promise<void> {
    const { time } = this.options;
    const end = time.elapsed + ms;
    while (time.elapsed < end) {
      const isAfterIncident = time.elapsed - this.#lastIncidentAt < incidentWindowMs;
      const stepEnd = Math.min(end, time.elapsed + (isAfterIncident ? stepMs.afterIncident : stepMs.quiet));
      while (time.elapsed < stepEnd) {
        await this.#tick();
      }
      await this.#runWorkload();
      await this.invariants.checkAll();
      this.options.onStep?.(this);
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.everRun.map((replica) => replica.stop()));
    await this.history.stop();
  }

  async startReplica(index: number): Promise<void> {
    const { time, double } = this.options;
    const replica = await SimulatedReplica.start({
      name: `${index}-${this.everRun.length}`,
      time,
      kubeconfigPath: this.#account,
      environment: double.env(),
      random: () => this.random.next(),
    });
    this.replicas[index] = replica;
    this.everRun.push(replica);
  }

  /** Runs one tick of all replicas. Incidents happen while their renewals are in flight. */
  async #tick(): Promise<void> {
    this.options.time.advance(tickMs);
    const started = this.getRunningReplicas().map((replica) => replica.tick());
    const hasIncident = await this.#runDueIncidents();
    await Promise.all(this.getRunningReplicas().map((replica) => replica.waitUntilIdle()));
    if (hasIncident || started.includes(true)) {
      await this.invariants.waitUntilInSync();
    }
    this.invariants.recordRecovery();
  }

  async #runDueIncidents(): Promise<boolean> {
    const { elapsed } = this.options.time;
    let hasIncident = false;
    while ((this.#pendingIncidents[0]?.at ?? Number.POSITIVE_INFINITY) <= elapsed) {
      const incident = this.#pendingIncidents.shift();
      await incident?.run(createIncidentActions(this));
      hasIncident = true;
      if (incident?.isRoutine !== true) {
        this.options.print(`${formatClockTime(elapsed)} ${incident?.description}`);
        this.#lastIncidentAt = elapsed;
      }
    }
    return hasIncident;
  }

  /** The workload between incidents: namespaces come and go, and pods start all the time. */
  async #runWorkload(): Promise<void> {
    const { elapsed } = this.options.time;
    const someTeam = () => this.random.pick(this.workload.busyTeams);
    const isTime = (everyMs: number) => elapsed % everyMs < stepMs.afterIncident;
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

  /** Admits a pod on a random replica. A token may be missing only if ECR has failed recently. */
  async #admit({ namespace, hosts }: Team): Promise<void> {
    const replica = this.random.pick(this.getRunningReplicas());
    const missing = await replica.admit(namespace, [...hosts]);
    const { elapsed } = this.options.time;
    const unexpected = missing.filter(({ host }) => {
      const since = this.outages.respondingSince(regionOf(host));
      return since !== undefined && elapsed - since > maxRecoveryMs;
    });
    assert.deepEqual(
      unexpected,
      [],
      `hosts without a token for a pod in ${namespace} at ${formatClockTime(elapsed)}`,
    );
  }
}

/** Returns a function that looks up the remaining lifetime of a password in ms; minus infinity if ECR never issued it. */
function createRemainingLifetime(double: EcrDouble, time: SimulatedClock): (password: string) => number {
  const expirations = new Map<string, number>();
  return (password) => {
    for (const { password, expiresAt } of double.issued.slice(expirations.size)) {
      expirations.set(password, expiresAt);
    }
    return (expirations.get(password) ?? Number.NEGATIVE_INFINITY) - time.now();
  };
}

/** The simulated time. */
export const durationMs = 48 * hourMs;

type SummaryLine = [string, string | number];

/** Formats what happened as a table. */
export function formatSummary(simulation: Simulation): string {
  const { options, workload, history, invariants, everRun } = simulation;
  const lines: SummaryLine[] = [
    ['hours', options.time.elapsed / hourMs],
    ['namespaces and deleted namespaces', `${workload.teams.size}, ${workload.deleted.size}`],
    ['complete checks', invariants.checkCount],
    ...countByName(
      'Secrets written',
      history.writes.map(({ effect }) => effect),
    ),
    ...countByName(
      'write calls',
      everRun.flatMap(({ writes }) => writes),
    ),
    ...countByName(
      'renewals',
      everRun.flatMap(({ renewals }) => renewals).filter((renewal) => / renewed$/.test(renewal)),
    ),
    ...regions.map((region) => countTokenCalls(region, simulation)),
    ['closest to a bound', describeClosestBound(simulation)],
    [
      'longest time without a token after ECR responded again',
      `${invariants.longestRecoveryMs / secondMs} s`,
    ],
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join('\n');
}

function countTokenCalls(region: string, { everRun }: Simulation): SummaryLine {
  const calls = everRun.flatMap((replica) => replica.calls.filter((call) => call.region === region));
  const successes = calls.filter(({ outcome }) => outcome === 'success').length;
  return [`successful and failed token calls in ${region}`, `${successes}, ${calls.length - successes}`];
}

function describeClosestBound(simulation: Simulation): string {
  const [first] = getBounds(simulation)
    .filter(({ actual }) => actual > 0)
    .toSorted((a, b) => a.max - a.actual - (b.max - b.actual));
  return first === undefined ? '' : `${first.actual} of at most ${first.max} ${first.description}`;
}

function countByName(heading: string, names: readonly string[]): SummaryLine[] {
  const groups = Map.groupBy(names.toSorted(), (name) => name);
  return [...groups].map(([name, all]) => [`${heading}: ${name}`, all.length]);
}
