// Simulates two days of incidents in a cluster with three replicas, in a minute or two.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { writeResult } from '../../bench/results.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { SimulatedClock } from './simulation/clock-and-random.ts';
import { getBounds } from './simulation/invariants.ts';
import { SeriesRecorder } from './simulation/series.ts';
import { durationMs, formatSummary, Simulation } from './simulation/simulation.ts';

/** The schedule is in simulation/incidents.ts. The seed decides which pods start where, and which replica is first. */
const seed = Number(process.env['SIMULATION_SEED'] ?? 42);

/** File for the series that docs/performance.md shows; none if not set. */
const seriesFile = process.env['SIMULATION_JSON'];

/** Starts an ECR double that the AWS SDK of this process calls, without retries. */
async function startDouble(time: SimulatedClock) {
  const double = await startEcrDouble({ now: time.now });
  Object.assign(process.env, double.env(), { AWS_MAX_ATTEMPTS: '1' });
  return double;
}

describeOnCluster(
  'two days of incidents',
  (cluster) => {
    it('leave every pod its tokens, with no more calls and writes than necessary', {
      timeout: 600_000,
    }, async (t) => {
      const print = (line: string) => process.stdout.write(`${line}\n`);
      print(`SIMULATION_SEED=${seed}`);
      const time = new SimulatedClock(Math.floor(Date.now() / 1000) * 1000);
      const double = await startDouble(time);
      const series = new SeriesRecorder();
      const onStep = (current: Simulation) => series.record(current);
      const simulation = new Simulation({ cluster: cluster(), seed, time, double, print, onStep });
      t.after(() => Promise.all([simulation.stop(), double.stop()]));
      await simulation.start(60);
      await simulation.advance(durationMs);
      print(formatSummary(simulation));
      if (seriesFile !== undefined) {
        await writeResult(seriesFile, series.series(simulation));
      }
      assert.deepEqual(
        getBounds(simulation).filter(({ actual, max }) => actual > max),
        [],
        `SIMULATION_SEED=${seed}`,
      );
      const countedCalls = simulation.everRun.flatMap(({ calls }) => calls).length;
      assert.equal(double.callsOf('GetAuthorizationToken').length, countedCalls, 'every call was counted');
      assert.ok(double.peak <= 3, `${double.peak} concurrent calls in a region, for 3 replicas`);
    });
  },
  { ownApiServer: true },
);
