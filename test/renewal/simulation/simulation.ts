import assert from 'node:assert/strict';
import type { Cluster } from '../../cluster/cluster.ts';
import type { EcrDouble } from '../../doubles/ecr/ecr-double.ts';
import { installAccount } from '../../support/installation.ts';
import { hourMs, minuteMs, Random, type SimulatedClock } from './clock-and-random.ts';
import { deeds, Outages, type Row, schedule } from './incidents.ts';
import { Checks, clockTime, healsWithinMs } from './invariants.ts';
import { History } from './secret-history.ts';
import { regionOf, regions, type Team, World } from './simulated-cluster.ts';
import { Replica, tickMs } from './simulated-replica.ts';

export interface SimulationParts {
  readonly cluster: Cluster;
  readonly seed: number;
  readonly time: SimulatedClock;
  /** On the same clock. */
  readonly double: EcrDouble;
  /** Told what happens. */
  say(line: string): void;
}

/** Between two looks at everything: soon after a trouble, and in quiet times. */
const stepMs = { troubled: minuteMs, quiet: 5 * minuteMs };
const troubledForMs = 30 * minuteMs;
/** A namespace comes and one goes, this often. */
const turnoverMs = 45 * minuteMs;
/** A pod with one more registry comes to some namespace, this often. */
const newHostMs = 170 * minuteMs;

/** All that plays a part, from the first pods to the end. */
export class Simulation {
  readonly history: History;
  readonly outages: Outages;
  readonly world: World;
  readonly checks: Checks;
  /** In places that are taken anew; those that died stay in `everRun`. */
  readonly replicas: Replica[] = [];
  readonly everRun: Replica[] = [];
  readonly clockSteps: { readonly at: number }[] = [];
  apiServerBackAt = Number.NEGATIVE_INFINITY;
  readonly parts: SimulationParts;
  readonly random: Random;
  readonly #left: Row[] = [...schedule];
  #account = '';
  #troubledAt = Number.NEGATIVE_INFINITY;

  constructor(parts: SimulationParts) {
    const { cluster, double, time, seed } = parts;
    this.parts = parts;
    this.random = new Random(seed);
    const { request, kubeconfigPath } = cluster;
    const leftOf = lives(double, time);
    this.history = new History({ kubeconfigPath, time, leftOf });
    this.outages = new Outages(double, time);
    this.world = new World({ request, time, history: this.history, random: this.random });
    const { history, world, outages } = this;
    const running = () => this.running();
    const apiServerBackAt = () => this.apiServerBackAt;
    const known = { request, time, seed, leftOf, history, world, outages };
    this.checks = new Checks({ ...known, running, apiServerBackAt });
  }

  running(): Replica[] {
    return this.replicas.filter(({ running }) => running);
  }

  /** Three replicas, and the first pods of the namespaces. */
  async begin(namespaces: number): Promise<void> {
    this.#account = await installAccount(this.parts.cluster);
    await this.history.start();
    await Promise.all([0, 1, 2].map((place) => this.startReplica(place)));
    const first = Array.from({ length: namespaces }, () => this.world.create(regions));
    await Promise.all(first.map(async (team) => this.#admit(await team)));
    await this.checks.all();
  }

  /** Lives through some simulated time. */
  async pass(ms: number): Promise<void> {
    const { time } = this.parts;
    const end = time.elapsed + ms;
    while (time.elapsed < end) {
      const troubled = time.elapsed - this.#troubledAt < troubledForMs;
      const stepEnd = Math.min(end, time.elapsed + (troubled ? stepMs.troubled : stepMs.quiet));
      while (time.elapsed < stepEnd) {
        await this.#tick();
      }
      await this.#pods();
      await this.checks.all();
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.everRun.map((replica) => replica.stop()));
    await this.history.stop();
  }

  async startReplica(place: number): Promise<void> {
    const { time, double } = this.parts;
    const replica = await Replica.start({
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
    this.parts.time.advance(tickMs);
    const began = this.running().map((replica) => replica.tick());
    const troubled = await this.#trouble();
    await Promise.all(this.running().map((replica) => replica.settled()));
    if (troubled || began.includes(true)) {
      await this.checks.caughtUp();
    }
    this.checks.noteHealing();
  }

  async #trouble(): Promise<boolean> {
    const { elapsed } = this.parts.time;
    let troubled = false;
    while ((this.#left[0]?.at ?? Number.POSITIVE_INFINITY) <= elapsed) {
      const row = this.#left.shift();
      await row?.happens(deeds(this));
      troubled = true;
      if (row?.brief !== true) {
        this.parts.say(`${clockTime(elapsed)} ${row?.what}`);
        this.#troubledAt = elapsed;
      }
    }
    return troubled;
  }

  /** What goes on in a cluster beside trouble: namespaces come and go, and pods start all the time. */
  async #pods(): Promise<void> {
    const { elapsed } = this.parts.time;
    const someTeam = () => this.random.pick(this.world.busyTeams);
    const isTime = (everyMs: number) => elapsed % everyMs < stepMs.troubled;
    if (isTime(turnoverMs)) {
      await this.world.delete(someTeam());
      await this.#admit(await this.world.create());
    }
    if (isTime(newHostMs)) {
      const team = someTeam();
      this.world.addHost(team);
      await this.#admit(team);
    }
    await this.#admit(someTeam());
  }

  /** A pod comes to some replica; it is short of a token only where ECR has just failed. */
  async #admit({ namespace, hosts }: Team): Promise<void> {
    const replica = this.random.pick(this.running());
    const missing = await replica.admit(namespace, [...hosts]);
    const { elapsed } = this.parts.time;
    const unexpected = missing.filter(({ host }) => {
      const since = this.outages.answersSince(regionOf(host));
      return since !== undefined && elapsed - since > healsWithinMs;
    });
    assert.deepEqual(unexpected, [], `a pod in ${namespace} at ${clockTime(elapsed)}`);
  }
}

/** What passwords have left of their lives in ms, by the double's word; minus infinity for one it never gave. */
function lives(double: EcrDouble, time: SimulatedClock): (password: string) => number {
  const ends = new Map<string, number>();
  return (password) => {
    for (const { password, expiresAt } of double.issued.slice(ends.size)) {
      ends.set(password, expiresAt);
    }
    return (ends.get(password) ?? Number.NEGATIVE_INFINITY) - time.now();
  };
}

/** How long the simulation lasts. */
export const lastsMs = 48 * hourMs;
