// The incidents of the simulation: their schedule, how each is caused, and the outages of Amazon ECR.
import type { EcrDouble } from '../../doubles/ecr/ecr-double.ts';
import type { Fault } from '../../doubles/ecr/ecr-faults.ts';
import { hourMs, minuteMs, type SimulatedClock } from './clock-and-random.ts';
import { regionOf, regions, type Team } from './simulated-cluster.ts';
import type { Simulation } from './simulation.ts';

/** A period in which ECR issued no tokens in a region. Times are in true ms since the start. */
export interface Outage {
  readonly region: string;
  readonly fault: Fault;
  /** The error looks permanent to a caller, which therefore retries less often. */
  readonly permanent: boolean;
  readonly from: number;
  until: number | undefined;
}

/** Causes outages of ECR, and remembers them. */
export class Outages {
  readonly all: Outage[] = [];
  readonly #double: EcrDouble;
  readonly #time: SimulatedClock;

  constructor(double: EcrDouble, time: SimulatedClock) {
    this.#double = double;
    this.#time = time;
  }

  start(regions: readonly string[], fault: Fault, permanent = false): void {
    const from = this.#time.elapsed;
    for (const region of regions) {
      this.all.push({ region, fault, permanent, from, until: undefined });
      this.#fail(fault, region);
    }
  }

  end(regions: readonly string[]): void {
    for (const outage of this.#active().filter(({ region }) => regions.includes(region))) {
      outage.until = this.#time.elapsed;
    }
    this.#double.heal();
    for (const { fault, region } of this.#active()) {
      this.#fail(fault, region);
    }
  }

  #fail(fault: Fault, region: string): void {
    this.#double.fail(fault, { region, operation: 'GetAuthorizationToken' });
  }

  /** Since when a region has responded; undefined: it does not; minus infinity: it never failed. */
  respondingSince(region: string): number | undefined {
    const endTimes = this.all.filter((outage) => outage.region === region).map(({ until }) => until);
    return endTimes.includes(undefined)
      ? undefined
      : Math.max(Number.NEGATIVE_INFINITY, ...endTimes.filter((until) => until !== undefined));
  }

  #active(): Outage[] {
    return this.all.filter(({ until }) => until === undefined);
  }
}

/** The ways to disturb the simulation; each row of the schedule calls one. */
export interface IncidentActions {
  failEcr(how: 'down' | 'throttled' | 'denied', regions: readonly string[]): void;
  restoreEcr(regions: readonly string[]): void;
  restartApiServer(): Promise<void>;
  /** Resets the connections to the API server of one replica by number, or of all. */
  resetConnections(replica: number | 'all'): void;
  kill(replica: number): Promise<void>;
  replace(replica: number): Promise<void>;
  suspend(replica: number): Promise<void>;
  resume(replica: number): Promise<void>;
  stepClock(replica: number, ms: number): void;
  editAsUser(edit: 'removes an entry' | 'empties an annotation' | 'deletes a Secret'): Promise<void>;
}

export interface Incident {
  /** True time in ms since the start. */
  readonly at: number;
  readonly description: string;
  /** Not printed, because it happens often. */
  readonly isRoutine?: boolean;
  readonly run: (actions: IncidentActions) => void | Promise<void>;
}

const [frankfurt, virginia] = regions;

/** Two days of incidents. Tokens are renewed every six hours, over half an hour each time. */
export const schedule: readonly Incident[] = [
  incidentAt('05:40', 'ECR throttles every region', (actions) => actions.failEcr('throttled', regions)),
  incidentAt('07:40', 'ECR responds again', (actions) => actions.restoreEcr(regions)),
  incidentAt('09:10', 'a user removes an entry from a Secret, but not the host', (actions) =>
    actions.editAsUser('removes an entry'),
  ),
  incidentAt('13:50', 'the API server restarts during renewals', (actions) => actions.restartApiServer()),
  incidentAt('15:00', `ECR is down in ${frankfurt}`, (actions) => actions.failEcr('down', [frankfurt])),
  incidentAt('17:00', 'a user deletes a Secret', (actions) => actions.editAsUser('deletes a Secret')),
  incidentAt('19:55', 'replica 0 is killed during renewals', (actions) => actions.kill(0)),
  incidentAt('23:00', 'a new replica takes its place', (actions) => actions.replace(0)),
  incidentAt('24:00', "replica 1's clock is set back by 2 h", (actions) => actions.stepClock(1, -2 * hourMs)),
  incidentAt('28:00', `ECR responds again in ${frankfurt}`, (actions) => actions.restoreEcr([frankfurt])),
  incidentAt('30:00', "replica 1's clock is set forward by 3 h", (actions) =>
    actions.stepClock(1, 3 * hourMs),
  ),
  incidentAt('31:00', "replica 2's machine is suspended", (actions) => actions.suspend(2)),
  incidentAt('32:00', `ECR denies access in ${virginia}`, (actions) => actions.failEcr('denied', [virginia])),
  incidentAt('37:00', `ECR grants access again in ${virginia}`, (actions) => actions.restoreEcr([virginia])),
  incidentAt('38:00', "replica 2's machine resumes", (actions) => actions.resume(2)),
  incidentAt('40:00', 'a user empties the annotation', (actions) =>
    actions.editAsUser('empties an annotation'),
  ),
  incidentAt('42:00', 'the API server restarts again', (actions) => actions.restartApiServer()),
  ...Array.from({ length: 50 }, (_, index) =>
    createIncident(
      (8 * 60 + 22 * index) * minuteMs,
      'connections to the API server are reset',
      (actions) => actions.resetConnections(selectReplica(index)),
      true,
    ),
  ),
].sort((a, b) => a.at - b.at);

/** Each fourth reset affects all replicas. */
function selectReplica(index: number): number | 'all' {
  return index % 4 === 3 ? 'all' : index % 4;
}

/** @param time HOURS:MINUTES since the start */
function incidentAt(time: string, description: string, run: Incident['run']): Incident {
  const [hours = 0, minutes = 0] = time.split(':').map(Number);
  return createIncident(hours * hourMs + minutes * minuteMs, description, run);
}

function createIncident(at: number, description: string, run: Incident['run'], isRoutine = false): Incident {
  return { at, description, run, ...(isRoutine && { isRoutine }) };
}

const faults = {
  down: { fault: 'reset', permanent: false },
  throttled: { fault: { error: 'ThrottlingException' }, permanent: false },
  denied: { fault: { error: 'AccessDeniedException' }, permanent: true },
} as const;

/** Creates the functions that cause incidents in a simulation. */
export function createIncidentActions(simulation: Simulation): IncidentActions {
  const { outages, replicas, workload, invariants, options, random } = simulation;
  const replicaAt = (index: number) => {
    const found = replicas[index];
    if (found === undefined) {
      throw new Error(`there is no replica ${index}`);
    }
    return found;
  };
  return {
    failEcr: (how, regions) => outages.start(regions, faults[how].fault, faults[how].permanent),
    restoreEcr: (regions) => outages.end(regions),
    restartApiServer: async () => {
      const { apiServer } = options.cluster;
      await apiServer?.kill();
      for (const replica of simulation.getRunningReplicas()) {
        replica.tick();
      }
      await apiServer?.restart();
      simulation.apiServerRestartedAt = options.time.elapsed;
    },
    resetConnections: (index) => {
      for (const replica of index === 'all' ? replicas : [replicaAt(index)]) {
        replica.resetConnections();
      }
    },
    kill: (index) => replicaAt(index).kill(),
    replace: (index) => simulation.startReplica(index),
    suspend: (index) => replicaAt(index).suspend(),
    resume: (index) => replicaAt(index).resume(),
    stepClock: (index, ms) => {
      simulation.clockSteps.push({ at: options.time.elapsed });
      replicaAt(index).clock.step(ms);
    },
    editAsUser: async (edit) => {
      const hasRespondingRegions = ({ hosts }: Team) =>
        [...hosts].every((host) => outages.respondingSince(regionOf(host)) !== undefined);
      const team = random.pick(workload.busyTeams.filter(hasRespondingRegions));
      if (edit === 'removes an entry') {
        await workload.removeEntry(team);
      } else if (edit === 'empties an annotation') {
        await workload.emptyAnnotation(team);
      } else {
        await workload.deleteSecret(team);
        invariants.forgetUid(team.namespace);
      }
    },
  };
}
