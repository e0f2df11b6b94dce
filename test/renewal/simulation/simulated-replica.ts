import { PassThrough } from 'node:stream';
import { stringify } from 'yaml';
import { type App, createApp } from '../../../src/app.ts';
import { readConfig } from '../../../src/config/load-config.ts';
import { parseEcrHost } from '../../../src/ecr/registry.ts';
import { type SecretInformer, watchSecretMetadata } from '../../../src/kube/secret-metadata.ts';
import type { SecretCache } from '../../../src/pull-secrets/secret-cache.ts';
import type { UnavailableHost } from '../../../src/pull-secrets/unavailable-host.ts';
import { RenewalController } from '../../../src/renewal/renewal-controller.ts';
import { createJsonLog } from '../../../src/telemetry/log.ts';
import { type FaultProxy, startFaultProxy } from '../../doubles/fault-proxy.ts';
import { MachineClock, type SimulatedClock } from './clock-and-random.ts';

/** A call of GetAuthorizationToken, as the replica counts it. */
export interface CountedCall {
  readonly region: string;
  readonly outcome: string;
  /** True time in ms since the start. */
  readonly at: number;
}

export interface SimulatedReplicaOptions {
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
export class SimulatedReplica {
  readonly name: string;
  readonly clock: MachineClock;
  /** True times in ms since the start. */
  readonly startedAt: number;
  killedAt: number | undefined;
  /** When its machine woke up after having been suspended, true times in ms since the start. */
  readonly resumes: { readonly at: number }[] = [];
  readonly calls: CountedCall[] = [];
  readonly writes: string[] = [];
  readonly renewals: string[] = [];
  /** Lines of the log that tell of a bug. */
  readonly errors: string[] = [];
  readonly #time: SimulatedClock;
  readonly #proxy: FaultProxy;
  readonly #core: App;
  readonly #watch: SecretInformer;
  readonly #renewal: RenewalController;
  #suspended = false;

  static async start(parts: SimulatedReplicaOptions): Promise<SimulatedReplica> {
    const replica = new SimulatedReplica(parts, await startFaultProxy(parts.kubeconfigPath));
    await replica.#watch.start();
    return replica;
  }

  private constructor(
    { name, time, kubeconfigPath, environment, random }: SimulatedReplicaOptions,
    proxy: FaultProxy,
  ) {
    this.name = name;
    this.#time = time;
    this.startedAt = time.elapsed;
    this.clock = new MachineClock(time);
    this.#proxy = proxy;
    const settings = { kubernetes: { kubeconfig: proxy.kubeconfig(kubeconfigPath) } };
    const config = readConfig(stringify(settings), 'simulation');
    const lines = new PassThrough().on('data', (line) => this.errors.push(String(line)));
    const log = createJsonLog('error', lines);
    this.#core = createApp({
      config,
      environment,
      configuredRegistries: [],
      log,
      metrics: {
        countEcrCall: (region, outcome) => this.calls.push({ region, outcome, at: time.elapsed }),
        countSecretWrite: (outcome) => this.writes.push(outcome),
        countDroppedHosts: () => undefined,
        countForgottenHosts: () => undefined,
      },
      isInSync: () => this.#watch.isInSync(),
      now: this.clock.wallMs,
      monotonicNow: this.clock.monotonicMs,
    });
    this.#watch = watchSecretMetadata({
      config: this.#core.cluster,
      name: config.secretName,
      handler: this.#core.secretCache,
      now: this.clock.monotonicMs,
      backoff: () => 50, // it waits in real time, of which two days have a minute or two here
    });
    this.#renewal = new RenewalController({
      secretCache: this.#core.secretCache,
      secrets: this.#core.secrets,
      rules: this.#core.planRules(this.clock.wallMs()),
      now: () => ({ wallMs: this.clock.wallMs(), monotonicMs: this.clock.monotonicMs() }),
      random,
      concurrency: config.renewal.concurrency,
      writesPerSecond: 100_000, // real seconds, too
      tickMs,
      log,
      countRenewal: (reason, outcome) => this.renewals.push(`${reason} ${outcome}`),
      onFailureReport: () => undefined,
    });
  }

  get secretCache(): SecretCache {
    return this.#core.secretCache;
  }

  get running(): boolean {
    return this.killedAt === undefined && !this.#suspended;
  }

  /** Looks at the clock once; gives whether that began anything. */
  tick(): boolean {
    this.#renewal.tick();
    return this.#renewal.state().due > 0;
  }

  settled(): Promise<void> {
    return this.#renewal.waitUntilIdle();
  }

  /** What admission does for a pod with images of these hosts. */
  async admit(namespace: string, hosts: readonly string[]): Promise<UnavailableHost[]> {
    const registries = hosts.map(parseEcrHost).filter((registry) => registry !== undefined);
    return this.#core.secrets.hasFreshTokens(namespace, registries)
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
    this.resumes.push({ at: this.#time.elapsed });
    this.clock.resume();
    this.tick();
  }

  /** As SIGKILL: what is under way gets no answer any more, if it got through at all. */
  async kill(): Promise<void> {
    this.killedAt = this.#time.elapsed;
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
