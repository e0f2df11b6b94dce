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
    for (const outage of this.#active().filter(({ region }) => regions.includes(region))) {
      outage.until = this.#time.elapsed;
    }
    this.#double.heal();
    for (const { fault, region } of this.#active()) {
      this.#double.fail(fault, { region });
    }
  }

  /** Since when a region answers; undefined: it does not; minus infinity: since ever. */
  respondingSince(region: string): number | undefined {
    const ends = this.all.filter((one) => one.region === region).map(({ until }) => until);
    return ends.includes(undefined)
      ? undefined
      : Math.max(Number.NEGATIVE_INFINITY, ...ends.filter((until) => until !== undefined));
  }

  #active(): Outage[] {
    return this.all.filter(({ until }) => until === undefined);
  }
}

/** What can be done to the world; each is one row's business. */
export interface IncidentActions {
  failEcr(how: 'down' | 'throttled' | 'denied', regions: readonly string[]): void;
  restoreEcr(regions: readonly string[]): void;
  restartApiServer(): Promise<void>;
  /** Resets the connections to the API server of one replica by number, or of all. */
  cut(replica: number | 'all'): void;
  kill(replica: number): Promise<void>;
  replace(replica: number): Promise<void>;
  suspend(replica: number): Promise<void>;
  resume(replica: number): Promise<void>;
  stepClock(replica: number, ms: number): void;
  editAsUser(does: 'removes an entry' | 'empties an annotation' | 'deletes a Secret'): Promise<void>;
}

export interface Incident {
  /** True time in ms since the start. */
  readonly at: number;
  readonly description: string;
  /** Not worth a word each time. */
  readonly isRoutine?: boolean;
  readonly run: (hands: IncidentActions) => void | Promise<void>;
}

const [frankfurt, virginia] = regions;

/** Two days of trouble. Tokens are renewed every six hours, over half an hour each time. */
export const schedule: readonly Incident[] = [
  incidentAt('05:40', 'ECR throttles every region', (to) => to.failEcr('throttled', regions)),
  incidentAt('07:40', 'ECR answers again', (to) => to.restoreEcr(regions)),
  incidentAt('09:10', 'a person takes an entry out of a Secret, not the host', (to) =>
    to.editAsUser('removes an entry'),
  ),
  incidentAt('13:50', 'the API server is restarted, amid renewals', (to) => to.restartApiServer()),
  incidentAt('15:00', `ECR is down in ${frankfurt}`, (to) => to.failEcr('down', [frankfurt])),
  incidentAt('17:00', 'a person deletes a Secret', (to) => to.editAsUser('deletes a Secret')),
  incidentAt('19:55', 'replica 0 is killed for good, amid renewals', (to) => to.kill(0)),
  incidentAt('23:00', 'another one takes its place, and remembers nothing', (to) => to.replace(0)),
  incidentAt('24:00', "replica 1's clock is set back by 2 h", (to) => to.stepClock(1, -2 * hourMs)),
  incidentAt('28:00', `ECR answers again in ${frankfurt}`, (to) => to.restoreEcr([frankfurt])),
  incidentAt('30:00', "replica 1's clock is set forth by 3 h", (to) => to.stepClock(1, 3 * hourMs)),
  incidentAt('31:00', "replica 2's machine is suspended", (to) => to.suspend(2)),
  incidentAt('32:00', `ECR denies ${virginia}`, (to) => to.failEcr('denied', [virginia])),
  incidentAt('37:00', `ECR no longer denies ${virginia}`, (to) => to.restoreEcr([virginia])),
  incidentAt('38:00', "replica 2's machine wakes up", (to) => to.resume(2)),
  incidentAt('40:00', 'a person empties the annotation', (to) => to.editAsUser('empties an annotation')),
  incidentAt('42:00', 'the API server is restarted once more', (to) => to.restartApiServer()),
  ...Array.from({ length: 50 }, (_, index) =>
    createIncident(
      (8 * 60 + 22 * index) * minuteMs,
      'the watch is cut',
      (to) => to.cut(selectReplica(index)),
      true,
    ),
  ),
].sort((one, other) => one.at - other.at);

/** Each fourth cut is everybody's, amid whatever is under way. */
function selectReplica(index: number): number | 'all' {
  return index % 4 === 3 ? 'all' : index % 4;
}

/** @param time HOURS:MINUTES since the start */
function incidentAt(time: string, what: string, happens: Incident['run']): Incident {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  return createIncident(hours * hourMs + minutes * minuteMs, what, happens);
}

function createIncident(at: number, what: string, happens: Incident['run'], brief = false): Incident {
  return { at, description: what, run: happens, ...(brief && { isRoutine: brief }) };
}

const faults = {
  down: { fault: 'cut', permanent: false },
  throttled: { fault: { error: 'ThrottlingException' }, permanent: false },
  denied: { fault: { error: 'AccessDeniedException' }, permanent: true },
} as const;

/** How each kind of trouble is made. */
export function createIncidentActions(simulation: Simulation): IncidentActions {
  const { outages, replicas, workload, checks, options, random } = simulation;
  const replica = (place: number) => {
    const found = replicas[place];
    if (found === undefined) {
      throw new Error(`there is no replica ${place}`);
    }
    return found;
  };
  return {
    failEcr: (how, regions) => outages.begin(regions, faults[how].fault, faults[how].permanent),
    restoreEcr: (regions) => outages.end(regions),
    restartApiServer: async () => {
      const { apiServer } = options.cluster;
      await apiServer?.kill();
      for (const one of simulation.running()) {
        one.tick();
      }
      await apiServer?.restart();
      simulation.apiServerBackAt = options.time.elapsed;
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
      simulation.clockSteps.push({ at: options.time.elapsed });
      replica(place).clock.step(ms);
    },
    editAsUser: async (does) => {
      const answers = ({ hosts }: Team) =>
        [...hosts].every((host) => outages.respondingSince(regionOf(host)) !== undefined);
      const team = random.pick(workload.busyTeams.filter(answers));
      if (does === 'removes an entry') {
        await workload.removeEntry(team);
      } else if (does === 'empties an annotation') {
        await workload.emptyAnnotation(team);
      } else {
        await workload.deleteSecret(team);
        checks.forgetUid(team.namespace);
      }
    },
  };
}
