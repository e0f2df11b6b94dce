// Installs the chart on a real API server, and lets everything fail once while a real Prometheus scrapes the program.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ReplicaSetDouble } from '../catch-up/replica-set-double.ts';
import type { Helm } from '../chart/helm.ts';
import { getLocalProgramValues } from '../chart/local-program.ts';
import { createRelease, type Release } from '../chart/release.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { type BulkClient, createBulkClient } from '../support/bulk-requests.ts';
import { eventually } from '../support/eventually.ts';
import { expectCreated } from '../support/installation.ts';
import { createPod, podWith } from '../support/pods.ts';
import { createCertificateFiles } from '../support/program.ts';
import { secretsPath } from '../support/pull-secret.ts';
import { type ClusterMetrics, startClusterMetrics } from './cluster-metrics.ts';
import { MonitoredReplicas, type Replica } from './monitored-replicas.ts';
import { type PrometheusServer, startPrometheus } from './prometheus-server.ts';
import { renderRules } from './rendered-alerts.ts';
import { buildUnreachableWebhook, fillLog, freeLog, sendMalformedReview } from './webhook-faults.ts';

const account = '123456789012';
const imageIn = (region: string) => `${account}.dkr.ecr.${region}.amazonaws.com/app:1`;
const hostIn = (region: string) => `${account}.dkr.ecr.${region}.amazonaws.com`;

const values = {
  injection: 'webhook',
  config: { catchUp: { interval: '30s', minimumAge: '0s', evict: true }, secrets: { maxHosts: 2 } },
};

const hourMs = 3_600_000;

/** Slow writes: more than the program has in flight, so that the others wait in vain, and an alert wants more than 20 requests. */
const slowNamespaces = 100;
/** Longer than a write waits until it can start, which is 15 s. */
const slowWriteMs = 25_000;

/** Everything that the hour needs. */
interface Parts {
  readonly cluster: Cluster;
  readonly release: Release;
  readonly ecr: EcrDouble;
  readonly bulk: BulkClient;
  readonly clusterMetrics: ClusterMetrics;
  readonly prometheus: PrometheusServer;
  readonly folder: string;
}

/** A finished hour, whose samples Prometheus still has. */
export interface ScriptedHour {
  readonly prometheus: PrometheusServer;
  /** The annotations of all alerts that were pending or firing. */
  readonly annotations: readonly Readonly<Record<string, string>>[];
  stop(): Promise<void>;
}

/** Prepares the cluster and Prometheus, and runs all steps. Takes one or two minutes. */
export async function runScriptedHour(cluster: Cluster, helm: Helm): Promise<ScriptedHour> {
  const folder = await mkdtemp(join(tmpdir(), 'hour-'));
  const clusterMetrics = await startClusterMetrics();
  const prometheus = await startPrometheus({
    rules: await renderRules(helm),
    kubeconfig: await readFile(cluster.kubeconfigPath, 'utf8'),
    clusterMetricsUrl: clusterMetrics.url,
  });
  const parts = {
    ...{ cluster, clusterMetrics, prometheus, folder },
    release: await createRelease(cluster, helm),
    ecr: await startEcrDouble(),
    bulk: createBulkClient(cluster.kubeconfigPath),
  };
  const hour = new Hour(parts);
  const stop = async () => {
    await hour.stop();
    await Promise.all([prometheus.stop(), clusterMetrics.stop(), parts.ecr.stop()]);
    parts.bulk.close();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await hour.run();
  } catch (error) {
    await stop();
    throw error;
  }
  return { prometheus, annotations: hour.annotations, stop };
}

class Hour {
  readonly #parts: Parts;
  readonly #replicas: MonitoredReplicas;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#replicas = new MonitoredReplicas(parts);
  }

  async run(): Promise<void> {
    await this.#parts.release.install(getLocalProgramValues(values));
    const first = await this.#startWhilePodsCannotBeListed();
    await this.#admitPods(first);
    await this.#failInAws(first);
    await this.#renewLate(first);
    await this.#fillSecrets(first);
    const second = await this.#startWithBrokenCredentials();
    await this.#loseApiServer(second);
    await this.#slowDown(first);
    await this.#fillLog(first);
    await this.#restart(first);
    await this.#rejectPods();
    await this.stop();
    await this.#replicas.scrape();
  }

  get annotations(): readonly Readonly<Record<string, string>>[] {
    return this.#replicas.annotations;
  }

  async stop(): Promise<void> {
    await this.#replicas.stopAll();
  }

  async #startWhilePodsCannotBeListed(): Promise<Replica> {
    const replica = await this.#replicas.start('aaaaa', {}, (proxy) =>
      proxy.status(500, (method, path) => method === 'GET' && path.startsWith('/api/v1/pods')),
    );
    await this.#replicas.until(replica, /catch_up_rounds_total\{outcome="(?!completed)\w/);
    await this.#replicas.scrape();
    await replica.proxy.heal();
    await this.#parts.release.upgrade(getLocalProgramValues(values, replica.program));
    return replica;
  }

  async #admitPods(replica: Replica): Promise<void> {
    const namespace = await this.#namespace();
    await eventually('the webhook is called', async () => {
      const { pullSecrets } = await this.#createPod(namespace, ['eu-central-1', 'eu-west-1']);
      return pullSecrets.length > 0;
    });
    await sendMalformedReview(replica.program);
    await this.#replicas.scrape();
    await this.#createPod(await this.#namespace(), ['eu-central-1']);
    await this.#replicas.scrape();
  }

  async #failInAws(replica: Replica): Promise<void> {
    const { ecr } = this.#parts;
    ecr.fail({ error: 'AccessDeniedException' }, { region: 'eu-west-2' });
    ecr.fail({ error: 'ThrottlingException' }, { region: 'eu-west-3' });
    await this.#createPod(await this.#namespace(), ['eu-west-2', 'eu-west-3']);
    await this.#replicas.until(replica, /failing_hosts\{permanent="true"\} [1-9]/);
    await this.#replicas.until(replica, /failing_hosts\{permanent="false"\} [1-9]/);
    await this.#replicas.scrape();
    ecr.heal();
  }

  /** A token that should have been renewed four hours ago, and expires in two. */
  async #renewLate(replica: Replica): Promise<void> {
    const { ecr, bulk } = this.#parts;
    ecr.fail({ error: 'ThrottlingException' }, { region: 'ap-south-1' });
    const now = Date.now();
    const lifetime = { issuedAt: now - 10 * hourMs, expiresAt: now + 2 * hourMs };
    await bulk.storeSecrets([await this.#namespace()], new Map([[hostIn('ap-south-1'), lifetime]]));
    await this.#replicas.until(replica, /token_expiration_timestamp_seconds\{region="ap-south-1"\}/);
    await this.#replicas.until(replica, /renewal_lateness_seconds [1-9]\d{3}/);
    await this.#replicas.scrape();
    ecr.heal();
    await this.#replicas.until(replica, /renewals_total\{reason="\w[\w-]*",outcome="renewed"\}/);
  }

  /** One Secret is not managed, one is full, and one has to drop a host. */
  async #fillSecrets(replica: Replica): Promise<void> {
    const { cluster, bulk } = this.#parts;
    const regions = ['eu-north-1', 'eu-south-1', 'us-west-1'];
    const [unmanaged, full, changing] = [
      await this.#namespace(),
      await this.#namespace(),
      await this.#namespace(),
    ];
    const lifetime = { issuedAt: Date.now(), expiresAt: Date.now() + 12 * hourMs };
    const unused = regions.slice(0, 2).map((region) => [hostIn(region), lifetime] as const);
    await bulk.storeSecrets([changing], new Map(unused));
    await this.#replicas.until(replica, /token_expiration_timestamp_seconds\{region="eu-north-1"\}/);
    const secret = { metadata: { name: 'ecr-pull-secrets' }, type: 'Opaque' };
    await expectCreated(cluster, secretsPath(unmanaged), secret);
    for (const region of regions) {
      await this.#createPod(unmanaged, [region]);
      await this.#createPod(full, [region]);
    }
    await this.#createPod(changing, regions.slice(2));
    await this.#replicas.until(replica, /unmanaged_secrets [1-9]/);
    await this.#replicas.until(replica, /full_secrets [1-9]/);
    await this.#replicas.until(replica, /unstored_hosts_forgotten_total\{reason="limit"\} [1-9]/);
    await this.#replicas.until(replica, /hosts_dropped_total\{reason="[\w-]+"\} [1-9]/);
    await this.#replicas.scrape();
  }

  /** A second replica, whose credentials AWS refuses at first, and whose certificate expires in three days. */
  async #startWithBrokenCredentials(): Promise<Replica> {
    const { ecr, folder } = this.#parts;
    ecr.fail({ error: 'InvalidClientTokenId', status: 403 }, { operation: 'GetCallerIdentity' });
    // A token would show that the credentials are valid.
    ecr.fail({ error: 'UnrecognizedClientException' }, { operation: 'GetAuthorizationToken' });
    const certificates = await createCertificateFiles(join(folder, 'tls'), { days: 3 });
    const replica = await this.#replicas.start('bbbbb', { certificates });
    await this.#replicas.until(replica, /aws_credentials_ok\{.*\} 0/);
    await this.#replicas.scrape();
    ecr.heal();
    return replica;
  }

  async #loseApiServer(replica: Replica): Promise<void> {
    await replica.proxy.refuseConnections();
    await this.#replicas.until(replica, /in_sync 0/);
    await this.#replicas.scrape();
    await replica.proxy.heal();
    await this.#replicas.until(replica, /in_sync 1/);
  }

  async #slowDown(replica: Replica): Promise<void> {
    const { bulk, cluster } = this.#parts;
    const { proxy } = replica;
    const namespaces = Array.from({ length: slowNamespaces }, (_, index) => `slow-${index}`);
    await bulk.createNamespaces(namespaces);
    proxy.delay(slowWriteMs, (method, path) => method !== 'GET' && path.includes('/secrets'));
    const pods = namespaces.map((namespace) =>
      createPod(cluster, namespace, podWith([imageIn('eu-central-1')])),
    );
    await Promise.all(pods);
    await this.#replicas.until(replica, /api_requests_dropped_total [1-9]/);
    await this.#replicas.scrape();
    await proxy.heal();
  }

  async #fillLog(replica: Replica): Promise<void> {
    await fillLog(replica.program);
    await this.#replicas.until(replica, /log_lines_dropped_total [1-9]/);
    await this.#replicas.scrape();
    await freeLog(replica.program);
  }

  /** While no replica that the API server knows is running, pods are created without the reference. */
  async #restart(replica: Replica): Promise<void> {
    const { bulk, clusterMetrics, release } = this.#parts;
    const { state } = clusterMetrics;
    Object.assign(state, { availableReplicas: 1, availableControllers: 0 });
    state.lastSuccessfulSync -= 8 * 3_600;
    await replica.program.stop();
    const namespace = await this.#namespace();
    for (let count = 0; count < 3; count += 1) {
      await this.#createPod(namespace, ['eu-central-1']);
      await this.#replicas.scrape();
    }
    await new ReplicaSetDouble(bulk, await this.#namespace(), imageIn('eu-central-1'), 1).reconcile();
    await this.#replicas.stop(replica);
    const next = await this.#replicas.start('ccccc');
    await release.upgrade(getLocalProgramValues(values, next.program));
    await this.#replicas.until(next, /uninjected_pods [1-9]/);
    await this.#replicas.until(this.#replicas.running, /pod_evictions_total\{outcome="deleted"\} [1-9]/);
    await this.#replicas.scrape();
    Object.assign(state, { availableReplicas: 2, availableControllers: 1 });
    state.lastSuccessfulSync += 8 * 3_600;
  }

  /** A webhook of the same name that cannot be called and has `failurePolicy: Fail`. */
  async #rejectPods(): Promise<void> {
    const { cluster } = this.#parts;
    const namespace = await this.#namespace();
    await expectCreated(
      cluster,
      '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations',
      buildUnreachableWebhook(namespace),
    );
    await eventually('the pod is rejected', async () => {
      return (await this.#createPod(namespace, ['eu-central-1'])).status === 500;
    });
    await this.#replicas.scrape();
    await this.#createPod(namespace, ['eu-central-1']);
    await this.#replicas.scrape();
  }

  async #namespace(): Promise<string> {
    return await this.#parts.cluster.createNamespace('team');
  }

  async #createPod(namespace: string, regions: readonly string[]) {
    return await createPod(this.#parts.cluster, namespace, podWith(regions.map(imageIn)));
  }
}
