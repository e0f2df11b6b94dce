import type { Hands } from './schedule.ts';
import type { Simulation } from './simulation.ts';
import { regionOf, type Team } from './world.ts';

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
