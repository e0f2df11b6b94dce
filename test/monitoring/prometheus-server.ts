// Starts a real Prometheus that scrapes targets of a test.
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { getValueAt } from '../chart/rendered-objects.ts';
import { findFreePort, startServer } from '../cluster/server-process.ts';
import { eventually } from '../support/eventually.ts';
import { prometheusPrograms } from './prometheus-tools.ts';
import { type RuleFile, release } from './rendered-alerts.ts';

/** Seconds between two scrapes. With a minute, the usual value, the scrapes of an hour would take an hour. */
const scrapeIntervalSeconds = 1;

/** Seconds between two values of a query. Shorter than the interval, because scrapes are late on a busy machine. */
const queryStepSeconds = 0.2;

/** A replica as Prometheus discovers it. */
export interface ScrapedReplica {
  readonly pod: string;
  /** Such as `http://127.0.0.1:8080`. */
  readonly statusUrl: string;
}

/** Samples of one series: pairs of a time in seconds and a value. */
interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [number, string])[];
}

export interface PrometheusServer {
  /** Replaces the scraped replicas. */
  setReplicas(replicas: readonly ScrapedReplica[]): Promise<void>;
  /** Resolves when all targets have been scraped again, also those that cannot be reached. */
  waitForScrape(): Promise<void>;
  /** The values since the start, including that of each scrape. */
  queryAll(expr: string): Promise<readonly Series[]>;
  /** The alerts that are pending or firing. */
  alerts(): Promise<readonly { readonly annotations: Readonly<Record<string, string>> }[]>;
  stop(): Promise<void>;
}

interface PrometheusOptions {
  readonly rules: RuleFile;
  /** The kubeconfig of an account that may read the metrics of the API server; its user has a token. */
  readonly kubeconfig: string;
  /** URL of metrics as kube-state-metrics serves them. */
  readonly clusterMetricsUrl: string;
}

export async function startPrometheus(options: PrometheusOptions): Promise<PrometheusServer> {
  const folder = await mkdtemp(join(tmpdir(), 'prometheus-'));
  const port = await findFreePort();
  const targetsFile = join(folder, 'targets.json');
  let hosts: readonly string[] = [];
  const setReplicas = async (replicas: readonly ScrapedReplica[]) => {
    hosts = replicas.map(({ statusUrl }) => new URL(statusUrl).host);
    const groups = replicas.map(({ pod, statusUrl }) => ({
      targets: [new URL(statusUrl).host],
      labels: { namespace: release.namespace, pod },
    }));
    await writeFile(`${targetsFile}.new`, JSON.stringify(groups));
    await rename(`${targetsFile}.new`, targetsFile);
  };
  await setReplicas([]);
  await writeFile(join(folder, 'rules.json'), JSON.stringify(options.rules));
  const config = await buildConfig(options, folder, targetsFile);
  await writeFile(join(folder, 'prometheus.json'), JSON.stringify(config), { mode: 0o600 });
  const url = `http://127.0.0.1:${port}`;
  const server = await startServer({
    program: prometheusPrograms.server,
    args: [
      `--config.file=${join(folder, 'prometheus.json')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    logFile: join(folder, 'log'),
    isReady: async () => (await fetch(`${url}/-/ready`)).ok,
    timeoutMs: 60_000,
    removeIfOrphaned: folder,
  });
  const startedAt = Date.now() / 1000;
  const get = async (path: string, parameters: Record<string, string> = {}) => {
    const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const body: unknown = await response.json();
    if (getValueAt(body, 'status') !== 'success') {
      throw new Error(`${path} ${JSON.stringify(parameters)}: ${JSON.stringify(body)}`);
    }
    return getValueAt(body, 'data');
  };
  return {
    setReplicas,
    waitForScrape: async () => {
      const since = Date.now();
      await eventually('all targets are scraped', async () => {
        const targets: unknown[] = getValueAt(await get('targets', { state: 'active' }), 'activeTargets');
        // On a busy machine, a scrape can time out. It has no values then.
        const isScraped = (target: unknown) =>
          Date.parse(getValueAt(target, 'lastScrape')) > since &&
          !String(getValueAt(target, 'lastError')).includes('deadline exceeded');
        // Prometheus finds new replicas seconds after they were set.
        const isFound = (host: string) =>
          targets.some((target) => new URL(getValueAt(target, 'scrapeUrl')).host === host);
        return targets.length > 0 && hosts.every(isFound) && targets.every(isScraped);
      });
    },
    queryAll: async (query) => {
      const [start, end] = [String(startedAt), String(Date.now() / 1000)];
      const data = await get('query_range', { query, start, end, step: String(queryStepSeconds) });
      return getValueAt(data, 'result');
    },
    alerts: async () => getValueAt(await get('alerts'), 'alerts'),
    stop: async () => {
      await server.kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function buildConfig(
  { kubeconfig, clusterMetricsUrl }: PrometheusOptions,
  folder: string,
  targetsFile: string,
) {
  const apiServer: unknown = parse(kubeconfig);
  const server = new URL(getValueAt(apiServer, 'clusters.0.cluster.server'));
  const ca = getValueAt(apiServer, 'clusters.0.cluster.certificate-authority-data');
  const caFile = join(folder, 'api-server-ca.crt');
  await writeFile(caFile, Buffer.from(ca, 'base64'));
  return {
    global: {
      scrape_interval: `${scrapeIntervalSeconds}s`,
      scrape_timeout: `${scrapeIntervalSeconds}s`,
      evaluation_interval: `${scrapeIntervalSeconds}s`,
    },
    rule_files: [join(folder, 'rules.json')],
    scrape_configs: [
      { job_name: release.job, file_sd_configs: [{ files: [targetsFile], refresh_interval: '1s' }] },
      {
        job_name: 'kube-state-metrics',
        honor_labels: true,
        static_configs: [{ targets: [new URL(clusterMetricsUrl).host] }],
      },
      {
        job_name: 'apiserver',
        scheme: 'https',
        tls_config: { ca_file: caFile },
        authorization: { credentials: getValueAt(apiServer, 'users.0.user.token') },
        // without these, a scrape takes longer than the interval
        metric_relabel_configs: [
          { source_labels: ['__name__'], regex: 'apiserver_admission_webhook_.*', action: 'keep' },
        ],
        scrape_interval: '2s',
        scrape_timeout: '2s',
        static_configs: [{ targets: [server.host] }],
      },
    ],
  };
}
