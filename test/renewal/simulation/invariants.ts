import assert from 'node:assert/strict';
import type { Request } from '../../cluster/kube-request.ts';
import { eventually } from '../../support/eventually.ts';
import { hourMs, minuteMs, type SimulatedClock } from './clock-and-random.ts';
import type { Outages } from './incidents.ts';
import type { History } from './secret-history.ts';
import {
  listStored,
  regionOf,
  type Stored,
  type Team,
  unhealthyHosts,
  type World,
} from './simulated-cluster.ts';
import { type Replica, tickMs } from './simulated-replica.ts';

/** The longest that the product leaves a region or a namespace alone after a failure, and two looks at the clock. */
export const healsWithinMs = 5 * minuteMs + 2 * tickMs;
/** Where nothing fails, a change is mended or filled in within three looks at the clock. */
const mendsWithinMs = 3 * tickMs;
/**
 * A quarter of a token's life. Half of it is over at most when it is renewed, and another half an hour; with a clock that
 * is two hours behind, it was given to a pod when it looked two hours younger.
 */
const leastMs = 3 * hourMs;

export interface CheckParts {
  readonly request: Request;
  readonly time: SimulatedClock;
  readonly world: World;
  readonly history: History;
  readonly outages: Outages;
  readonly seed: number;
  /** What a password has left of its life, ms; none or less: no registry takes it. */
  leftOf(password: string): number;
  /** Those that run now. */
  running(): readonly Replica[];
  /** When the API server last came back, ms since the start. */
  apiServerBackAt(): number;
}

/** What has to be true at any time. Throws at the first thing that is not. */
export class Checks {
  /** How often all was looked at. */
  count = 0;
  /** How long a host was without a living token though its region answered again, at most, in ms. */
  longestHeal = 0;
  readonly #parts: CheckParts;
  readonly #uids = new Map<string, string>();

  constructor(parts: CheckParts) {
    this.#parts = parts;
  }

  /** Resolves when all running replicas, and the history, know the same version of every Secret. */
  async caughtUp(): Promise<void> {
    await eventually('all views have caught up', () => this.#agree(this.#parts.history.latest), 20_000);
  }

  /** Reads the truth from the API server, waits until everybody knows it, and judges it. */
  async all(): Promise<void> {
    const truth = await eventually(
      'all views have the truth',
      async () => {
        const listed = await listStored(this.#parts.request);
        return this.#agree(listed) ? listed : undefined;
      },
      20_000,
    );
    this.count += 1;
    const { history, world, running } = this.#parts;
    this.#fine(history.complaints);
    this.#fine(running().flatMap(({ errors }) => errors));
    this.#fine([...world.teams.values()].flatMap((team) => this.#judge(team, truth.get(team.namespace))));
    this.#fine([...truth.keys()].filter((namespace) => !world.teams.has(namespace)));
    this.#fine(this.#mourned());
  }

  /** Notes how long it takes until all is well after an outage. Asks nobody. */
  noteHealing(): void {
    const { time, world, history, leftOf, outages } = this.#parts;
    for (const team of world.teams.values()) {
      for (const { host } of unhealthyHosts(team, history.latest.get(team.namespace), leftOf)) {
        const since = outages.answersSince(regionOf(host));
        if (since !== undefined && since > team.touchedAt) {
          this.longestHeal = Math.max(this.longestHeal, time.elapsed - since);
        }
      }
    }
  }

  /** A Secret that a person deleted may come back with another UID. */
  forgetUid(namespace: string): void {
    this.#uids.delete(namespace);
  }

  #judge(team: Team, secret: Stored | undefined): string[] {
    const { namespace } = team;
    const { time, leftOf } = this.#parts;
    const uid = this.#uids.get(namespace) ?? secret?.uid;
    const problems = uid === secret?.uid ? [] : [`${namespace}: the UID changed`];
    if (secret !== undefined) {
      this.#uids.set(namespace, secret.uid);
    }
    for (const { host, what } of unhealthyHosts(team, secret, leftOf, leastMs)) {
      const excused = this.#excusedUntil(team, host, what);
      if (time.elapsed > excused) {
        problems.push(`${namespace}: ${host} ${what}; should be well since ${clockTime(excused)}`);
      }
    }
    return problems;
  }

  /** A host has to be named, whatever ECR does; for a token to be there, it has to be given. */
  #excusedUntil({ touchedAt }: Team, host: string, what: string): number {
    const { outages, apiServerBackAt } = this.#parts;
    const byApiServer = apiServerBackAt() + healsWithinMs;
    const answers = what === 'is not named' ? 0 : outages.answersSince(regionOf(host));
    const byEcr = answers === undefined ? Number.POSITIVE_INFINITY : answers + healsWithinMs;
    return Math.max(touchedAt + mendsWithinMs, byApiServer, byEcr);
  }

  /** Nobody tries for ever to bring back the Secret of a namespace that is gone. */
  #mourned(): string[] {
    const { world, running } = this.#parts;
    return running().flatMap(({ name, clock, view }) =>
      [...view.lost()]
        .filter(([namespace, { learnedAt }]) => {
          return world.deleted.has(namespace) && clock.steady() - learnedAt > healsWithinMs;
        })
        .map(([namespace]) => `${namespace} is gone, and replica ${name} does not let go`),
    );
  }

  #agree(truth: ReadonlyMap<string, Stored>): boolean {
    const { history, running } = this.#parts;
    const knows = (known: Map<string, string>) =>
      known.size === truth.size &&
      [...truth.values()].every(({ namespace, version }) => known.get(namespace) === version);
    const told = new Map([...history.latest].map(([namespace, { version }]) => [namespace, version]));
    const views = running().map(
      ({ view }) =>
        new Map([...view.entries()].map(([namespace, { resourceVersion }]) => [namespace, resourceVersion])),
    );
    return [told, ...views].every(knows);
  }

  #fine(problems: readonly string[]): void {
    const { time, seed } = this.#parts;
    assert.deepEqual(problems, [], `at ${clockTime(time.elapsed)}, SIMULATION_SEED=${seed}`);
  }
}

/** HOURS:MINUTES:SECONDS of ms since the start. */
export function clockTime(ms: number): string {
  const two = (number: number) => String(Math.floor(number)).padStart(2, '0');
  return `${two(ms / hourMs)}:${two((ms % hourMs) / minuteMs)}:${two((ms % minuteMs) / 1000)}`;
}
