import { hourMs, minuteMs, secondMs } from './clock-and-random.ts';
import type { Outage } from './incidents.ts';
import { regionOf, regions } from './simulated-cluster.ts';
import type { SimulatedReplica } from './simulated-replica.ts';
import type { Simulation } from './simulation.ts';

/** ECR's tokens live for 12 h. */
const halfLifeMs = 6 * hourMs;

/** What was, and what may have been at most. */
export interface Bound {
  readonly what: string;
  readonly was: number;
  readonly most: number;
}

/** Calls and writes of the whole simulation, each with its bound. */
export function getBounds(simulation: Simulation): Bound[] {
  const { everRun } = simulation;
  const calls = everRun.flatMap((replica) =>
    regions.flatMap((region) => [
      {
        what: `tokens that replica ${replica.name} got in ${region}`,
        was: countCalls(replica, region, true),
        most: maxTokenCalls(replica, region, simulation),
      },
      {
        what: `calls of replica ${replica.name} that failed in ${region}`,
        was: countCalls(replica, region, false),
        most: maxFailedCalls(replica, region, simulation),
      },
    ]),
  );
  return [...calls, ...getWriteBounds(simulation)];
}

/**
 * 1 + life/half-life + 1 + clocks set + own wakes + edits: one token for a process that remembers nothing, one for each
 * half of a token's life, and one where a pod asks shortly before renewal would. One more each time a clock is set,
 * since the lives that its replica writes are shorter, or its own machine wakes up to see everything due; and one where
 * a person's edit had to be mended.
 */
function maxTokenCalls(
  replica: SimulatedReplica,
  region: string,
  { clockSteps, workload, options }: Simulation,
): number {
  const { startedAt, killedAt = options.time.elapsed, resumes } = replica;
  const lived = ({ at }: { readonly at: number }) => startedAt <= at && at <= killedAt;
  const edits = workload.edits.filter((one) => lived(one) && [...one.hosts].map(regionOf).includes(region));
  const halfLives = Math.floor((killedAt - startedAt) / halfLifeMs);
  return 2 + halfLives + clockSteps.filter(lived).length + resumes.length + edits.length;
}

/**
 * While a region fails it is asked again after ever longer waits: these many until the wait is at its longest, of which
 * jitter takes away one half at most. Shortly before tokens end the waits are shorter again, a twentieth of what is
 * left: 20 · ln(most/shortest) more calls and 20 at the shortest, for each of the tokens that replicas have stored.
 */
function maxFailedCalls(
  { startedAt, killedAt }: SimulatedReplica,
  region: string,
  { outages, options }: Simulation,
): number {
  const here = outages.all.filter((one) => one.region === region);
  const most = ({ from, until = options.time.elapsed, permanent }: Outage): number => {
    const lasted = Math.min(until, killedAt ?? until) - Math.max(from, startedAt);
    const [rise, longestMs] = permanent ? [6, 5 * minuteMs] : [8, 2 * minuteMs];
    const nearTheEnd = lasted > halfLifeMs ? 3 * (20 * Math.log(longestMs / (5 * secondMs)) + 20) : 0;
    return lasted <= 0 ? 0 : rise + lasted / (longestMs / 2) + nearTheEnd;
  };
  return Math.ceil(here.reduce((sum, outage) => sum + most(outage), 0));
}

/**
 * A token takes another's place where it ends a quarter of a life later at least, so these are 3 h apart, and come within
 * half an hour: three in a half-life for each host at most, and one usually. One more for whatever people and pods did
 * to the Secret, for each clock that was set, and for each machine that woke up.
 */
function getWriteBounds({ history, workload, clockSteps, everRun }: Simulation): Bound[] {
  const oddities = [...clockSteps, ...everRun.flatMap(({ resumes }) => resumes)];
  const byNamespace = Map.groupBy(history.writes, ({ namespace }) => namespace);
  return [...byNamespace].flatMap(([namespace, writes]) =>
    writes.map(({ at: from }) => {
      const within = ({ at }: { readonly at: number }) => from <= at && at < from + halfLifeMs;
      const touches = workload.secretChanges.filter(
        (touch) => touch.namespace === namespace && within(touch),
      );
      const hosts = workload.everUsed.get(namespace)?.size ?? 0;
      return {
        what: `writes to ${namespace} in a half-life`,
        was: writes.filter(within).length,
        most: 3 * hosts + touches.length + oddities.filter(within).length,
      };
    }),
  );
}

function countCalls(replica: SimulatedReplica, region: string, good: boolean): number {
  return replica.calls.filter((call) => call.region === region && (call.outcome === 'success') === good)
    .length;
}

type Line = [string, string | number];

/** What happened, as a table. */
export function formatSummary(simulation: Simulation): string {
  const { options, workload, history, checks, everRun } = simulation;
  const lines: Line[] = [
    ['hours', options.time.elapsed / hourMs],
    ['namespaces, and those that were deleted', `${workload.teams.size}, ${workload.deleted.size}`],
    ['looks at everything', checks.count],
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
      everRun.flatMap(({ renewals }) => renewals).filter((one) => / renewed$/.test(one)),
    ),
    ...regions.map((region) => countTokenCalls(region, simulation)),
    ['closest to a bound', describeClosestBound(simulation)],
    ['longest without a token once ECR answered again', `${checks.longestRecoveryMs / secondMs} s`],
  ];
  const width = Math.max(...lines.map(([name]) => name.length));
  return lines.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join('\n');
}

function countTokenCalls(region: string, { everRun }: Simulation): Line {
  const outcomes = everRun.flatMap(({ calls }) => calls.filter((call) => call.region === region));
  const good = outcomes.filter(({ outcome }) => outcome === 'success').length;
  return [`token calls in ${region}, good and failed`, `${good}, ${outcomes.length - good}`];
}

function describeClosestBound(simulation: Simulation): string {
  const [first] = getBounds(simulation)
    .filter(({ was }) => was > 0)
    .toSorted((one, other) => one.most - one.was - (other.most - other.was));
  return first === undefined ? '' : `${first.was} of ${first.most} ${first.what}`;
}

function countByName(what: string, names: readonly string[]): Line[] {
  const groups = Map.groupBy(names.toSorted(), (name) => name);
  return [...groups].map(([name, all]) => [`${what}: ${name}`, all.length]);
}
