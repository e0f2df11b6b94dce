import type { EcrDouble } from '../../doubles/ecr/ecr-double.ts';
import type { Fault } from '../../doubles/ecr/ecr-faults.ts';
import { hourMs, minuteMs, type SimulatedClock } from './clock-and-random.ts';
import { regionOf, regions, type Team } from './simulated-cluster.ts';
import type { Simulation } from './simulation.ts';

/** A time in which ECR did not give tokens in a region; true times in ms since the start. */
export interface Outage {
  readonly region: string;
  readonly fault: Fault;
  /** Somebody would have to act, as far as a caller can know: it is asked again less often. */
  readonly permanent: boolean;
  readonly from: number;
  until: number | undefined;
}

/** What is wrong with ECR, and was. */
export class Outages {
  readonly all: Outage[] = [];
  readonly #double: EcrDouble;
  readonly #time: SimulatedClock;

  constructor(double: EcrDouble, time: SimulatedClock) {
    this.#double = double;
    this.#time = time;
  }

  begin(regions: readonly string[], fault: Fault, permanent = false): void {
    const from = this.#time.elapsed;
    for (const region of regions) {
      this.all.push({ region, fault, permanent, from, until: undefined });
      this.#double.fail(fault, { region });
    }
  }

  end(regions: readonly string[]): void {
    for (const outage of this.#lasting().filter(({ region }) => regions.includes(region))) {
      outage.until = this.#time.elapsed;
    }
    this.#double.heal();
    for (const { fault, region } of this.#lasting()) {
      this.#double.fail(fault, { region });
    }
  }

  /** Since when a region answers; undefined: it does not; minus infinity: since ever. */
  answersSince(region: string): number | undefined {
    const ends = this.all.filter((one) => one.region === region).map(({ until }) => until);
    return ends.includes(undefined)
      ? undefined
      : Math.max(Number.NEGATIVE_INFINITY, ...ends.filter((until) => until !== undefined));
  }

  #lasting(): Outage[] {
    return this.all.filter(({ until }) => until === undefined);
  }
}

/** What can be done to the world; each is one row's business. */
export interface Hands {
  ecrFails(how: 'down' | 'throttled' | 'denied', regions: readonly string[]): void;
  ecrAnswers(regions: readonly string[]): void;
  restartApiServer(): Promise<void>;
  /** Resets the connections to the API server of one replica by number, or of all. */
  cut(replica: number | 'all'): void;
  kill(replica: number): Promise<void>;
  replace(replica: number): Promise<void>;
  suspend(replica: number): Promise<void>;
  resume(replica: number): Promise<void>;
  stepClock(replica: number, ms: number): void;
  person(does: 'removes an entry' | 'empties an annotation' | 'deletes a Secret'): Promise<void>;
}

export interface Row {
  /** True time in ms since the start. */
  readonly at: number;
  readonly what: string;
  /** Not worth a word each time. */
  readonly brief?: boolean;
  readonly happens: (hands: Hands) => void | Promise<void>;
}

const [frankfurt, virginia] = regions;

/** Two days of trouble. Tokens are renewed every six hours, over half an hour each time. */
export const schedule: readonly Row[] = [
  at('05:40', 'ECR throttles every region', (to) => to.ecrFails('throttled', regions)),
  at('07:40', 'ECR answers again', (to) => to.ecrAnswers(regions)),
  at('09:10', 'a person takes an entry out of a Secret, not the host', (to) => to.person('removes an entry')),
  at('13:50', 'the API server is restarted, amid renewals', (to) => to.restartApiServer()),
  at('15:00', `ECR is down in ${frankfurt}`, (to) => to.ecrFails('down', [frankfurt])),
  at('17:00', 'a person deletes a Secret', (to) => to.person('deletes a Secret')),
  at('19:55', 'replica 0 is killed for good, amid renewals', (to) => to.kill(0)),
  at('23:00', 'another one takes its place, and remembers nothing', (to) => to.replace(0)),
  at('24:00', "replica 1's clock is set back by 2 h", (to) => to.stepClock(1, -2 * hourMs)),
  at('28:00', `ECR answers again in ${frankfurt}`, (to) => to.ecrAnswers([frankfurt])),
  at('30:00', "replica 1's clock is set forth by 3 h", (to) => to.stepClock(1, 3 * hourMs)),
  at('31:00', "replica 2's machine is suspended", (to) => to.suspend(2)),
  at('32:00', `ECR denies ${virginia}`, (to) => to.ecrFails('denied', [virginia])),
  at('37:00', `ECR no longer denies ${virginia}`, (to) => to.ecrAnswers([virginia])),
  at('38:00', "replica 2's machine wakes up", (to) => to.resume(2)),
  at('40:00', 'a person empties the annotation', (to) => to.person('empties an annotation')),
  at('42:00', 'the API server is restarted once more', (to) => to.restartApiServer()),
  ...Array.from({ length: 50 }, (_, index) =>
    row((8 * 60 + 22 * index) * minuteMs, 'the watch is cut', (to) => to.cut(whose(index)), true),
  ),
].sort((one, other) => one.at - other.at);

/** Each fourth cut is everybody's, amid whatever is under way. */
function whose(index: number): number | 'all' {
  return index % 4 === 3 ? 'all' : index % 4;
}

/** @param time HOURS:MINUTES since the start */
function at(time: string, what: string, happens: Row['happens']): Row {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  return row(hours * hourMs + minutes * minuteMs, what, happens);
}

function row(at: number, what: string, happens: Row['happens'], brief = false): Row {
  return { at, what, happens, ...(brief && { brief }) };
}

const faults = {
  down: { fault: 'cut', permanent: false },
  throttled: { fault: { error: 'ThrottlingException' }, permanent: false },
  denied: { fault: { error: 'AccessDeniedException' }, permanent: true },
} as const;

/** How each kind of trouble is made. */
export function deeds(simulation: Simulation): Hands {
  const { outages, replicas, world, checks, parts, random } = simulation;
  const replica = (place: number) => {
    const found = replicas[place];
    if (found === undefined) {
      throw new Error(`there is no replica ${place}`);
    }
    return found;
  };
  return {
    ecrFails: (how, regions) => outages.begin(regions, faults[how].fault, faults[how].permanent),
    ecrAnswers: (regions) => outages.end(regions),
    restartApiServer: async () => {
      const { apiServer } = parts.cluster;
      await apiServer?.kill();
      for (const one of simulation.running()) {
        one.tick();
      }
      await apiServer?.restart();
      simulation.apiServerBackAt = parts.time.elapsed;
    },
    cut: (place) => {
      for (const one of place === 'all' ? replicas : [replica(place)]) {
        one.cut();
      }
    },
    kill: (place) => replica(place).kill(),
    replace: (place) => simulation.startReplica(place),
    suspend: (place) => replica(place).suspend(),
    resume: (place) => replica(place).resume(),
    stepClock: (place, ms) => {
      simulation.clockSteps.push({ at: parts.time.elapsed });
      replica(place).clock.step(ms);
    },
    person: async (does) => {
      const answers = ({ hosts }: Team) =>
        [...hosts].every((host) => outages.answersSince(regionOf(host)) !== undefined);
      const team = random.pick(world.busyTeams.filter(answers));
      if (does === 'removes an entry') {
        await world.removeEntry(team);
      } else if (does === 'empties an annotation') {
        await world.emptyAnnotation(team);
      } else {
        await world.deleteSecret(team);
        checks.forgetUid(team.namespace);
      }
    },
  };
}
