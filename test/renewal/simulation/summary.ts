import { bounds } from './bounds.ts';
import { hourMs, secondMs } from './clock.ts';
import type { Simulation } from './simulation.ts';
import { regions } from './world.ts';

type Line = [string, string | number];

/** What happened, as a table. */
export function summary(simulation: Simulation): string {
  const { parts, world, history, checks, everRun } = simulation;
  const lines: Line[] = [
    ['hours', parts.time.elapsed / hourMs],
    ['namespaces, and those that were deleted', `${world.teams.size}, ${world.deleted.size}`],
    ['looks at everything', checks.count],
    ...counted(
      'Secrets written',
      history.writes.map(({ gain }) => gain),
    ),
    ...counted(
      'write calls',
      everRun.flatMap(({ writes }) => writes),
    ),
    ...counted(
      'renewals',
      everRun.flatMap(({ renewals }) => renewals).filter((one) => / renewed$/.test(one)),
    ),
    ...regions.map((region) => tokenCalls(region, simulation)),
    ['closest to a bound', closest(simulation)],
    ['longest without a token once ECR answered again', `${checks.longestHeal / secondMs} s`],
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join('\n');
}

function tokenCalls(region: string, { everRun }: Simulation): Line {
  const outcomes = everRun.flatMap(({ calls }) => calls.filter((call) => call.region === region));
  const good = outcomes.filter(({ outcome }) => outcome === 'success').length;
  return [`token calls in ${region}, good and failed`, `${good}, ${outcomes.length - good}`];
}

function closest(simulation: Simulation): string {
  const [first] = bounds(simulation)
    .filter(({ was }) => was > 0)
    .toSorted((one, other) => one.most - one.was - (other.most - other.was));
  return first === undefined ? '' : `${first.was} of ${first.most} ${first.what}`;
}

function counted(what: string, names: readonly string[]): Line[] {
  const groups = Map.groupBy(names.toSorted(), (name) => name);
  return [...groups].map(([name, all]) => [`${what}: ${name}`, all.length]);
}
