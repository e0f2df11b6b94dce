import { PassThrough } from 'node:stream';
import { stringify } from 'yaml';
import { type Core, compose } from '../../../src/app.ts';
import { readConfig } from '../../../src/config/load-config.ts';
import { parseEcrHost } from '../../../src/ecr/registry.ts';
import { type SecretWatch, watchSecretMetadata } from '../../../src/kube/secret-metadata.ts';
import type { SecretView } from '../../../src/pull-secrets/secret-cache.ts';
import type { Shortfall } from '../../../src/pull-secrets/unavailable-host.ts';
import { Renewal } from '../../../src/renewal/renewal-controller.ts';
import { jsonLog } from '../../../src/telemetry/log.ts';
import { type FaultProxy, startFaultProxy } from '../../doubles/fault-proxy.ts';
import { MachineClock, type SimulatedClock } from './clock-and-random.ts';

/** A call of GetAuthorizationToken, as the replica counts it. */
export interface CountedCall {
  readonly region: string;
  readonly outcome: string;
  /** True time in ms since the start. */
  readonly at: number;
}

export interface ReplicaParts {
  readonly name: string;
  readonly time: SimulatedClock;
  readonly kubeconfigPath: string;
  readonly environment: Record<string, string>;
  /** Gives a number in [0, 1). */
  random(): number;
}

/** How often renewal looks at the clock; the product does it each second. */
export const tickMs = 10_000;

/** One replica of the product in this process: the real parts, on a clock and behind a proxy of its own. */
export class Replica {
  readonly name: string;
  readonly clock: MachineClock;
  /** True times in ms since the start. */
  readonly born: number;
  died: number | undefined;
  /** When its machine woke up after having been suspended, true times in ms since the start. */
  readonly wakes: { readonly at: number }[] = [];
  readonly calls: CountedCall[] = [];
  readonly writes: string[] = [];
  readonly renewals: string[] = [];
  /** Lines of the log that tell of a bug. */
  readonly errors: string[] = [];
  readonly #time: SimulatedClock;
  readonly #proxy: FaultProxy;
  readonly #core: Core;
  readonly #watch: SecretWatch;
  readonly #renewal: Renewal;
  #suspended = false;

  static async start(parts: ReplicaParts): Promise<Replica> {
    const replica = new Replica(parts, await startFaultProxy(parts.kubeconfigPath));
    await replica.#watch.start();
    return replica;
  }

  private constructor({ name, time, kubeconfigPath, environment, random }: ReplicaParts, proxy: FaultProxy) {
    this.name = name;
    this.#time = time;
    this.born = time.elapsed;
    this.clock = new MachineClock(time);
    this.#proxy = proxy;
    const settings = { kubernetes: { kubeconfig: proxy.kubeconfig(kubeconfigPath) } };
    const config = readConfig(stringify(settings), 'simulation');
    const lines = new PassThrough().on('data', (line) => this.errors.push(String(line)));
    const log = jsonLog('error', lines);
    this.#core = compose({
      config,
      environment,
      configured: [],
      log,
      metrics: {
        ecrCall: (region, outcome) => this.calls.push({ region, outcome, at: time.elapsed }),
        secretWrite: (outcome) => this.writes.push(outcome),
        hostsDropped: () => undefined,
        unstoredForgotten: () => undefined,
      },
      inSync: () => this.#watch.inSync(),
      now: this.clock.wall,
      steady: this.clock.steady,
    });
    this.#watch = watchSecretMetadata({
      config: this.#core.cluster,
      name: config.secretName,
      sink: this.#core.view,
      now: this.clock.steady,
      backoff: () => 50, // it waits in real time, of which two days have a minute or two here
    });
    this.#renewal = new Renewal({
      view: this.#core.view,
      secrets: this.#core.secrets,
      rules: this.#core.planRules(this.clock.wall()),
      now: () => ({ wall: this.clock.wall(), steady: this.clock.steady() }),
      random,
      concurrency: config.renewal.concurrency,
      writesPerSecond: 100_000, // real seconds, too
      tickMs,
      log,
      counted: (reason, outcome) => this.renewals.push(`${reason} ${outcome}`),
      told: () => undefined,
    });
  }

  get view(): SecretView {
    return this.#core.view;
  }

  get running(): boolean {
    return this.died === undefined && !this.#suspended;
  }

  /** Looks at the clock once; gives whether that began anything. */
  tick(): boolean {
    this.#renewal.tick();
    return this.#renewal.state().due > 0;
  }

  settled(): Promise<void> {
    return this.#renewal.settled();
  }

  /** What admission does for a pod with images of these hosts. */
  async admit(namespace: string, hosts: readonly string[]): Promise<Shortfall[]> {
    const registries = hosts.map(parseEcrHost).filter((registry) => registry !== undefined);
    return this.#core.secrets.covers(namespace, registries)
      ? []
      : await this.#core.secrets.ensure(namespace, registries);
  }

  /** Resets its connections to the API server, the watch and whatever else is under way. */
  cut(): void {
    this.#proxy.reset();
  }

  async suspend(): Promise<void> {
    this.#suspended = true;
    this.clock.suspend();
    await this.#proxy.cut();
  }

  /** The first look at the clock comes before anything that was missed. */
  async resume(): Promise<void> {
    await this.#proxy.pass();
    this.#suspended = false;
    this.wakes.push({ at: this.#time.elapsed });
    this.clock.resume();
    this.tick();
  }

  /** As SIGKILL: what is under way gets no answer any more, if it got through at all. */
  async kill(): Promise<void> {
    this.died = this.#time.elapsed;
    await this.#proxy.cut();
  }

  /** Ends everything in this process. */
  async stop(): Promise<void> {
    await this.#renewal.stop();
    await this.#watch.stop();
    await this.#core.close();
    await this.#proxy.stop();
  }
}
