// One replica of the product with its own clocks and its own proxy.
import { PassThrough } from 'node:stream';
import { stringify } from 'yaml';
import { type App, createApp } from '../../../src/app.ts';
import { readConfig } from '../../../src/config/load-config.ts';
import type { Config } from '../../../src/config/schema.ts';
import type { IdentityDecision } from '../../../src/ecr/identity.ts';
import type { IdentityRule } from '../../../src/ecr/identity-rules.ts';
import { type SecretInformer, watchSecretMetadata } from '../../../src/kube/secret-metadata.ts';
import type { SecretCache } from '../../../src/pull-secrets/secret-cache.ts';
import type { UnavailableHost } from '../../../src/pull-secrets/unavailable-host.ts';
import { RenewalController } from '../../../src/renewal/renewal-controller.ts';
import { createJsonLog } from '../../../src/telemetry/log.ts';
import { type FaultProxy, startFaultProxy } from '../../doubles/fault-proxy.ts';
import { registryOfHost, resolveRegistry } from '../../support/registries.ts';
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
  /** The rules for identities; none by default. */
  readonly rules?: readonly IdentityRule[] | undefined;
  /** Returns a number in [0, 1). */
  random(): number;
}

/** Interval between two ticks of renewal; the product uses one second. */
export const tickMs = 10_000;

/** One replica of the product in this process: the real components, with simulated clocks and behind a fault proxy. */
export class SimulatedReplica {
  readonly name: string;
  readonly clock: MachineClock;
  /** In true ms since the start. */
  readonly startedAt: number;
  killedAt: number | undefined;
  /** When its machine resumed, in true ms since the start. */
  readonly resumes: { readonly at: number }[] = [];
  readonly calls: CountedCall[] = [];
  readonly writes: string[] = [];
  readonly renewals: string[] = [];
  /** Log lines at level `error`. */
  readonly errors: string[] = [];
  readonly #time: SimulatedClock;
  readonly #proxy: FaultProxy;
  readonly #app: App;
  readonly #watch: SecretInformer;
  readonly #identityWatch: ReturnType<App['identities']['watch']>;
  readonly #renewal: RenewalController;
  #suspended = false;

  static async start(options: SimulatedReplicaOptions): Promise<SimulatedReplica> {
    const replica = new SimulatedReplica(options, await startFaultProxy(options.kubeconfigPath));
    replica.#identityWatch.start();
    await replica.#watch.start();
    return replica;
  }

  private constructor(
    { name, time, kubeconfigPath, environment, rules = [], random }: SimulatedReplicaOptions,
    proxy: FaultProxy,
  ) {
    this.name = name;
    this.#time = time;
    this.startedAt = time.elapsed;
    this.clock = new MachineClock(time);
    this.#proxy = proxy;
    const settings = { kubernetes: { kubeconfig: proxy.kubeconfig(kubeconfigPath) } };
    const config: Config = {
      ...readConfig(stringify(settings), 'simulation'),
      registries: [...rules] as Config['registries'],
    };
    const lines = new PassThrough().on('data', (line) => this.errors.push(String(line)));
    const log = createJsonLog('error', lines);
    this.#app = createApp({
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
      // With many identities, the first calls take seconds of real time on a busy machine.
      ...(rules.length > 0 && { maxWaitMs: 20_000 }),
      now: this.clock.wallMs,
      monotonicNow: this.clock.monotonicMs,
    });
    this.#watch = watchSecretMetadata({
      config: this.#app.cluster,
      name: config.secretName,
      handler: this.#app.secretCache,
      now: this.clock.monotonicMs,
      backoff: () => 50, // in real time: the two simulated days take a minute or two
    });
    this.#identityWatch = this.#app.identities.watch({
      ...{ onChange: () => undefined, onError: () => undefined, onObjectError: () => undefined },
      backoff: () => 50,
    });
    this.#renewal = new RenewalController({
      secretCache: this.#app.secretCache,
      secrets: this.#app.secrets,
      resolveRegistry: this.#app.resolveRegistry,
      rules: this.#app.planRules,
      identityChangeCount: () => this.#app.identities.changeCount,
      now: () => ({ wallMs: this.clock.wallMs(), monotonicMs: this.clock.monotonicMs() }),
      random,
      concurrency: config.renewal.concurrency,
      writesPerSecond: 100_000, // per real second
      tickMs,
      log,
      countRenewal: (reason, outcome) => this.renewals.push(`${reason} ${outcome}`),
      onFailureReport: () => undefined,
    });
  }

  get secretCache(): SecretCache {
    return this.#app.secretCache;
  }

  get isRunning(): boolean {
    return this.killedAt === undefined && !this.#suspended;
  }

  /** Which identity a namespace has for a host, as far as the replica knows. */
  identityOf(namespace: string, host: string): IdentityDecision {
    return this.#app.identities.resolve(namespace, registryOfHost(host));
  }

  /** Runs one tick of renewal. Returns whether renewals were started. */
  tick(): boolean {
    this.#renewal.tick();
    return this.#renewal.state().due > 0;
  }

  waitUntilIdle(): Promise<void> {
    return this.#renewal.waitUntilIdle();
  }

  /** Does what the webhook does for a pod with images of these hosts. */
  async admit(namespace: string, hosts: readonly string[]): Promise<UnavailableHost[]> {
    const registries = hosts.map(resolveRegistry).filter((registry) => registry !== undefined);
    return this.#app.secrets.hasFreshTokens(namespace, registries)
      ? []
      : await this.#app.secrets.ensure(namespace, registries);
  }

  /** Resets its connections to the API server: the watch and the calls in flight. */
  resetConnections(): void {
    this.#proxy.reset();
  }

  async suspend(): Promise<void> {
    this.#suspended = true;
    this.clock.suspend();
    await this.#proxy.refuseConnections();
  }

  /** Runs a tick before the replica learns what it has missed. */
  async resume(): Promise<void> {
    await this.#proxy.heal();
    this.#suspended = false;
    this.resumes.push({ at: this.#time.elapsed });
    this.clock.resume();
    this.tick();
  }

  /** Stops the replica as SIGKILL does: calls in flight get no response. */
  async kill(): Promise<void> {
    this.killedAt = this.#time.elapsed;
    await this.#proxy.refuseConnections();
  }

  /** Stops everything in this process. */
  async stop(): Promise<void> {
    await this.#renewal.stop();
    await Promise.all([this.#watch.stop(), this.#identityWatch.stop()]);
    await this.#app.close();
    await this.#proxy.stop();
  }
}
