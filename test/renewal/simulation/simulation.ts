// Runs the simulation: replicas, workload, incidents and checks on simulated time; formats its summary.
import assert from 'node:assert/strict';
import type { Cluster } from '../../cluster/cluster.ts';
import type { EcrDouble } from '../../doubles/ecr/ecr-double.ts';
import { eventually } from '../../support/eventually.ts';
import { installServiceAccount } from '../../support/installation.ts';
import { hourMs, minuteMs, Random, type SimulatedClock, secondMs } from './clock-and-random.ts';
import { createIncidentActions, type Incident, Outages, schedule } from './incidents.ts';
import { formatClockTime, getBounds, Invariants, maxRecoveryMs } from './invariants.ts';
import { regionOf, regions, SimulatedCluster, type Team } from './simulated-cluster.ts';
import { type Access, identityRules, isPrincipalOf } from './simulated-identities.ts';
import { SimulatedReplica, tickMs } from './simulated-replica.ts';
import { SecretHistory } from './stored-secrets.ts';

export interface SimulationOptions {
  readonly cluster: Cluster;
  readonly seed: number;
  readonly time: SimulatedClock;
  /** Uses the same clock. */
  readonly double: EcrDouble;
  /** Whether each namespace has an identity of its own, and namespaces move between identities; false by default. */
  readonly hasIdentities?: boolean;
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
/** Interval at which a namespace moves to another identity. A denied namespace moves with the next one. */
const moveMs = 35 * minuteMs;
/** Right after a move, a write that was in flight may still have the identity before it, in ms. */
const moveGraceMs = tickMs;

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
    const issued = new IssuedTokens(double);
    this.history = new SecretHistory({
      ...{ kubeconfigPath, time },
      remainingMs: (password) => (issued.find(password)?.expiresAt ?? Number.NEGATIVE_INFINITY) - time.now(),
      ...(options.hasIdentities === true && {
        findForeignIdentity: (namespace, password) =>
          this.#findForeignIdentity(namespace, issued.find(password)?.principal ?? ''),
      }),
    });
    this.outages = new Outages(double, time);
    this.workload = new SimulatedCluster({ request, time, history: this.history, random: this.random });
    const { history, workload, outages } = this;
    const getRunningReplicas = () => this.getRunningReplicas();
    const apiServerRestartedAt = () => this.apiServerRestartedAt;
    const remainingMs = (password: string) => this.history.remainingMs(password);
    const principalOf = (password: string) =>
      options.hasIdentities === true ? issued.find(password)?.principal : undefined;
    const observed = { request, time, seed, remainingMs, principalOf, history, workload, outages };
    this.invariants = new Invariants({ ...observed, getRunningReplicas, apiServerRestartedAt });
  }

  getRunningReplicas(): SimulatedReplica[] {
    return this.replicas.filter(({ isRunning }) => isRunning);
  }

  /** Starts three replicas, and creates the namespaces with their first pods. */
  async start(namespaces: number): Promise<void> {
    this.#account = await installServiceAccount(this.options.cluster, {
      watchesNamespaces: this.options.hasIdentities === true,
    });
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
      rules: this.options.hasIdentities === true ? identityRules : undefined,
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
    if (this.options.hasIdentities === true && isTime(moveMs)) {
      await this.#moveTeams();
    }
    if (isTime(newHostMs)) {
      const team = someTeam();
      this.workload.addHost(team);
      await this.#admit(team);
    }
    await this.#admit(someTeam());
  }

  /** Moves one namespace to another identity or to none, and lets the one that has none get its pods again. */
  async #moveTeams(): Promise<void> {
    const denied = [...this.workload.teams.values()].filter(({ access }) => access === 'denied');
    const next = this.random.pick([...this.workload.teams.values()]);
    for (const team of new Set([...denied, next])) {
      const others = accesses.filter(
        (access) => access !== team.access && (team === next || access !== 'denied'),
      );
      const access = this.random.pick(others);
      await this.workload.move(team, access);
      await eventually(
        'all replicas know the identity',
        () => this.getRunningReplicas().every((replica) => isKnown(replica, team)),
        20_000,
      );
      await this.#admit(team);
      await this.invariants.waitUntilInSync();
    }
  }

  #findForeignIdentity(namespace: string, principal: string): string | undefined {
    const team = this.workload.teams.get(namespace);
    if (team === undefined) {
      return undefined; // it was deleted meanwhile
    }
    const { access, previousAccess, movedAt } = team;
    const isRecent = this.options.time.elapsed - movedAt <= moveGraceMs;
    const allowed = isRecent ? [access, previousAccess] : [access];
    return isPrincipalOf(namespace, allowed, principal)
      ? undefined
      : `got a token of ${principal} while ${allowed.join(' or ')} applies`;
  }

  /** Admits a pod on a random replica. A token may be missing only if ECR has failed recently. */
  async #admit({ namespace, hosts }: Team): Promise<void> {
    const replica = this.random.pick(this.getRunningReplicas());
    const missing = await replica.admit(namespace, [...hosts]);
    const { elapsed } = this.options.time;
    const unexpected = missing.filter(({ host, code }) => {
      if (code === 'denied-by-rule' && this.workload.teams.get(namespace)?.access === 'denied') {
        return false;
      }
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

const accesses: readonly Access[] = ['blue', 'green', 'denied'];

function isKnown(replica: SimulatedReplica, { namespace, hosts, access }: Team): boolean {
  return [...hosts].every((host) => {
    const decision = replica.identityOf(namespace, host);
    return decision.access === 'allowed'
      ? decision.identity.role?.roleArn.includes(`/${access}-`) === true
      : access === 'denied' && decision.access === 'denied';
  });
}

/** Finds what the double knows about a password. */
class IssuedTokens {
  readonly #double: EcrDouble;
  readonly #byPassword = new Map<string, EcrDouble['issued'][number]>();

  constructor(double: EcrDouble) {
    this.#double = double;
  }

  /** Returns undefined if ECR never issued the password. */
  find(password: string): EcrDouble['issued'][number] | undefined {
    for (const issued of this.#double.issued.slice(this.#byPassword.size)) {
      this.#byPassword.set(issued.password, issued);
    }
    return this.#byPassword.get(password);
  }
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
