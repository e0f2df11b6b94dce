// Records the stored tokens over the simulated time, for the plot in docs/performance.md.
import type { LifetimeSample, SimulationResult } from '../../../bench/simulation-result.ts';
import { hourMs, minuteMs } from './clock-and-random.ts';
import { regionOf, regions } from './simulated-cluster.ts';
import type { Simulation } from './simulation.ts';

/** Samples closer than this are left out, so that the file stays small. */
const sampleEveryMs = 5 * minuteMs;

export class SeriesRecorder {
  readonly #samples = new Map<string, LifetimeSample[]>();
  readonly #expirations = new Map<string, number>();
  #nextAt = 0;
  #read = 0;

  /** Samples the stored Secrets, at most every 5 simulated minutes. */
  record({ options, history }: Simulation): void {
    const { time, double } = options;
    if (time.elapsed < this.#nextAt) {
      return;
    }
    this.#nextAt = time.elapsed + sampleEveryMs;
    for (const { password, expiresAt } of double.issued.slice(this.#read)) {
      this.#expirations.set(password, expiresAt);
    }
    this.#read = double.issued.length;
    const tokens = [...history.latest.values()].flatMap(({ passwords }) => [...passwords]);
    for (const region of regions) {
      const left = tokens
        .filter(([host]) => regionOf(host) === region)
        .map(([, password]) => ((this.#expirations.get(password) ?? 0) - time.now()) / hourMs)
        .sort((a, b) => a - b);
      const at = (position: number) => round(left.at(position) ?? Number.NaN);
      const samples = this.#samples.get(region) ?? [];
      samples.push([round(time.elapsed / hourMs), at(0), at(Math.floor(left.length / 2)), at(-1)]);
      this.#samples.set(region, samples);
    }
  }

  /** Returns all samples, calls and outages of the simulation. */
  series({ options, outages, everRun, workload }: Simulation): SimulationResult {
    const hoursOf = (ms: number) => round(ms / hourMs);
    const calls = everRun.flatMap((replica) => replica.calls).sort((a, b) => a.at - b.at);
    return {
      seed: options.seed,
      hours: hoursOf(options.time.elapsed),
      namespaces: workload.teams.size,
      regions: regions.map((region) => {
        const ofRegion = calls.filter((call) => call.region === region);
        const hoursWith = (success: boolean) => [
          ...new Set(
            ofRegion
              .filter(({ outcome }) => (outcome === 'success') === success)
              .map(({ at }) => hoursOf(at)),
          ),
        ];
        return {
          region,
          samples: this.#samples.get(region) ?? [],
          fetched: hoursWith(true),
          failed: hoursWith(false),
          outages: outages.all
            .filter((outage) => outage.region === region)
            .map(({ from, until = options.time.elapsed, fault }) => ({
              from: hoursOf(from),
              until: hoursOf(until),
              fault: describeFault(fault),
            })),
        };
      }),
    };
  }
}

function describeFault(fault: string | { readonly error?: string }): string {
  return typeof fault === 'object' ? String(fault.error) : 'connection closed';
}

function round(hours: number): number {
  return Number(hours.toFixed(2));
}
