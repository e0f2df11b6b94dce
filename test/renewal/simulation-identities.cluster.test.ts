// Simulates two days of incidents in a cluster where each namespace has its own identity, and namespaces move between identities.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { hourMs, SimulatedClock } from './simulation/clock-and-random.ts';
import { getBounds } from './simulation/invariants.ts';
import { durationMs, formatSummary, Simulation } from './simulation/simulation.ts';

const seed = Number(process.env['SIMULATION_SEED'] ?? 42);

/** Fewer than in the other simulation, because each region that fails now fails for each namespace. */
const namespaces = 16;

/** The SDK compares the end of a session with the clock of this machine, so sessions outlive the simulation. */
const sessionLifetimeMs = 1_000 * hourMs;

describeOnCluster(
  'two days of incidents with one identity per namespace',
  (cluster) => {
    it('leave no token under another identity, and every pod its tokens', { timeout: 900_000 }, async (t) => {
      const print = (line: string) => process.stdout.write(`${line}\n`);
      print(`SIMULATION_SEED=${seed}`);
      const time = new SimulatedClock(Math.floor(Date.now() / 1000) * 1000);
      const double = await startEcrDouble({ now: time.now, sessionLifetimeMs });
      Object.assign(process.env, double.env(), { AWS_MAX_ATTEMPTS: '1' });
      const options = { cluster: cluster(), seed, time, double, hasIdentities: true, print };
      const simulation = new Simulation(options);
      t.after(() => Promise.all([simulation.stop(), double.stop()]));
      await simulation.start(namespaces);
      await simulation.advance(durationMs);
      print(formatSummary(simulation));
      print(`  moves between identities: ${simulation.workload.moves.length}`);
      const exceeded = getBounds(simulation).filter(({ actual, max }) => actual > max);
      assert.deepEqual(exceeded, [], `SIMULATION_SEED=${seed}`);
      assert.ok(double.peak <= 3, `${double.peak} concurrent calls of an identity, for 3 replicas`);
    });
  },
  { ownApiServer: true },
);
