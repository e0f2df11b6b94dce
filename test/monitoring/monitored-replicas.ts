// Runs replicas of an installed release on this machine, and lets Prometheus scrape them.
import type { Release } from '../chart/release.ts';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';
import { type FaultProxy, startFaultProxy } from '../doubles/fault-proxy.ts';
import { eventually } from '../support/eventually.ts';
import { type ProgramOptions, type RunningProgram, startProgram } from '../support/program.ts';
import type { PrometheusServer, ScrapedReplica } from './prometheus-server.ts';

/** A replica of the program, with its own connection to the API server. */
export interface Replica extends ScrapedReplica {
  readonly program: RunningProgram;
  readonly proxy: FaultProxy;
}

interface ReplicaDependencies {
  readonly release: Release;
  readonly ecr: EcrDouble;
  readonly prometheus: PrometheusServer;
}

export class MonitoredReplicas {
  /** The annotations of all alerts that were pending or firing after a scrape. */
  readonly annotations: Readonly<Record<string, string>>[] = [];
  readonly #dependencies: ReplicaDependencies;
  readonly #running = new Set<Replica>();

  constructor(dependencies: ReplicaDependencies) {
    this.#dependencies = dependencies;
  }

  get running(): readonly Replica[] {
    return [...this.#running];
  }

  /**
   * Starts a replica with the configuration and the permissions of the release, and waits until Prometheus has scraped it.
   * @param prepare called before the program starts
   */
  async start(
    suffix: string,
    options: Partial<ProgramOptions> = {},
    prepare?: (proxy: FaultProxy) => void,
  ): Promise<Replica> {
    const { release, ecr, prometheus } = this.#dependencies;
    const kubeconfigPath = await release.kubeconfig();
    const proxy = await startFaultProxy(kubeconfigPath);
    prepare?.(proxy);
    const program = await startProgram({
      kubeconfigPath: proxy.kubeconfig(kubeconfigPath),
      environment: ecr.env(),
      config: await release.configFile(),
      ...options,
    });
    const replica = { pod: `ecr-pull-secrets-${suffix}`, statusUrl: program.statusUrl, program, proxy };
    this.#running.add(replica);
    await prometheus.setReplicas(this.running);
    await this.scrape();
    return replica;
  }

  /** Stops a replica. Prometheus keeps trying to scrape it until the next one starts. */
  async stop(replica: Replica): Promise<void> {
    await replica.program.stop();
    await replica.proxy.stop();
    this.#running.delete(replica);
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.running.map((replica) => this.stop(replica)));
  }

  /** Waits until a line of the metrics of one of the replicas matches. */
  async until(replicas: Replica | readonly Replica[], pattern: RegExp): Promise<void> {
    await eventually(`the metrics match ${pattern}`, async () => {
      const texts = await Promise.all([replicas].flat().map(({ program }) => program.metrics()));
      return texts.some((text) => pattern.test(text));
    });
  }

  /** Waits until Prometheus has scraped all targets again. */
  async scrape(): Promise<void> {
    const { prometheus } = this.#dependencies;
    await prometheus.waitForScrape();
    this.annotations.push(...(await prometheus.alerts()).map(({ annotations }) => annotations));
  }
}
