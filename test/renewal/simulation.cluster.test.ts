import assert from 'node:assert/strict';
import { it } from 'node:test';
import { writeResult } from '../../bench/results.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { SimulatedClock } from './simulation/clock-and-random.ts';
import { SeriesRecorder } from './simulation/series.ts';
import { durationMs, Simulation } from './simulation/simulation.ts';
import { formatSummary, getBounds } from './simulation/totals.ts';

/** What happens when is in simulation/schedule.ts; who is asked, and who comes first, is chance: another seed, another story. */
const seed = Number(process.env['SIMULATION_SEED'] ?? 42);

/** File for the series that docs/performance.md shows; none if not set. */
const seriesFile = process.env['SIMULATION_JSON'];

/** The SDK of this process calls the double, and tries each request once. */
async function onDouble(time: SimulatedClock) {
  const double = await startEcrDouble({ now: time.now });
  Object.assign(process.env, double.env(), { AWS_MAX_ATTEMPTS: '1' });
  return double;
}

describeOnCluster(
  'two days of trouble',
  (cluster) => {
    it('leave every pod its tokens, with no more calls and writes than it takes', {
      timeout: 600_000,
    }, async (t) => {
      const say = (line: string) => process.stdout.write(`${line}\n`);
      say(`SIMULATION_SEED=${seed}`);
      const time = new SimulatedClock(Math.floor(Date.now() / 1000) * 1000);
      const double = await onDouble(time);
      const series = new SeriesRecorder();
      const onStep = (current: Simulation) => series.record(current);
      const simulation = new Simulation({ cluster: cluster(), seed, time, double, print: say, onStep });
      t.after(() => Promise.all([simulation.end(), double.stop()]));
      await simulation.begin(60);
      await simulation.advance(durationMs);
      say(formatSummary(simulation));
      if (seriesFile !== undefined) await writeResult(seriesFile, series.series(simulation));
      assert.deepEqual(
        getBounds(simulation).filter(({ was, most }) => was > most),
        [],
        `SIMULATION_SEED=${seed}`,
      );
      const counted = simulation.everRun.flatMap(({ calls }) => calls).length;
      assert.equal(double.callsOf('GetAuthorizationToken').length, counted, 'every call was counted');
      assert.ok(double.peak <= 3, `${double.peak} calls at once in a region, for 3 replicas`);
    });
  },
  { ownApiServer: true },
);
