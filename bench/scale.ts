import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startCluster } from '../test/cluster/cluster.ts';
import { startEcrDouble } from '../test/doubles/ecr/ecr-double.ts';
import { type BulkClient, createBulkClient } from '../test/support/bulk-requests.ts';
import { installServiceAccount } from '../test/support/installation.ts';
import {
  bundleInto,
  createCertificateFiles,
  type RunningProgram,
  startProgram,
} from '../test/support/program.ts';
import { sumOf } from './exposition.ts';
import { type Figures, report } from './scale-report.ts';

/**
 * One process of the program, bundled and with the heap that it has in the image, on a real API server with many
 * namespaces, each with a pull Secret that is due: how long until it is in sync, then one renewal of all of them.
 * Linux only, because of /proc.
 */
const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    namespaces: { type: 'string', default: '10000' },
    /** ECR hosts in each Secret, of as many accounts in one region. */
    hosts: { type: 'string', default: '1' },
    'writes-per-second': { type: 'string', default: '50' },
    /**
     * If not given, what Node chooses for itself in a container with the chart's limit of 256 MiB (seen with 24.21),
     * and what the Dockerfile does.
     */
    'node-options': { type: 'string', default: '--max-old-space-size=256 --max-semi-space-size=4' },
  },
});
const writesPerSecond = Number(values['writes-per-second']);
const namespaces = Array.from({ length: Number(values.namespaces) }, (_, index) => `team-${index}`);
const hosts = Array.from(
  { length: Number(values.hosts) },
  (_, index) =>
    `${String(index + 1)
      .repeat(12)
      .slice(0, 12)}.dkr.ecr.eu-central-1.amazonaws.com`,
);

const hourMs = 3_600_000;
/** As often as Prometheus does, usually. A scrape costs, and tells the longest stall since the last one. */
const scrapeMs = 15_000;

const directory = await mkdtemp(join(tmpdir(), 'bench-'));
const stops: (() => unknown)[] = [() => rm(directory, { recursive: true, force: true })];
try {
  const program = join(directory, 'main.mjs');
  await bundleInto(program);
  const certificates = await createCertificateFiles(directory);
  const ecr = await startEcrDouble();
  stops.push(() => ecr.stop());
  const cluster = await startCluster();
  stops.push(() => cluster.stop());
  const crowd = createBulkClient(cluster.kubeconfigPath);
  stops.push(() => crowd.close());
  await fill(crowd);
  const kubeconfigPath = await installServiceAccount(cluster);

  const [loadAverage = Number.NaN] = loadavg();
  const startedAt = Date.now();
  const running = await startProgram({
    kubeconfigPath,
    program,
    certificates,
    environment: {
      ...ecr.env(),
      NODE_ENV: 'production',
      MALLOC_ARENA_MAX: '1',
      UV_THREADPOOL_SIZE: '16',
      NODE_OPTIONS: values['node-options'],
    },
    config: { renewal: { writesPerSecond }, log: { level: 'info' } },
  });
  stops.push(() => running.stop());
  report(await measure(running, crowd, { startedAt, loadAverage }), values.json);
} finally {
  for (const stop of stops.reverse()) {
    await stop();
  }
}

/** Namespaces with Secrets whose tokens are four hours from their end: past half of their life, and past all delays. */
async function fill(crowd: BulkClient): Promise<void> {
  await crowd.createNamespaces(namespaces);
  const life = { issuedAt: Date.now() - 8 * hourMs, expiresAt: Date.now() + 4 * hourMs };
  await crowd.storeSecrets(namespaces, new Map(hosts.map((host) => [host, life])));
}

async function measure(
  program: RunningProgram,
  crowd: BulkClient,
  { startedAt, loadAverage }: { startedAt: number; loadAverage: number },
): Promise<Figures> {
  const isInSync = await memoryOf(program);
  const cpuBefore = await cpuSecondsOf(program);
  const before = await program.metrics();
  const requestsBefore = await apiRequests(crowd);
  let longestStall = 0;
  let now = before;
  while (sumOf(now, 'ecr_pull_secrets_renewals_total') < namespaces.length) {
    await sleep(Math.min(scrapeMs, (namespaces.length / writesPerSecond) * 250));
    now = await program.metrics();
    longestStall = Math.max(longestStall, stallOf(now));
  }
  const requests = await apiRequests(crowd);
  const cpuAfter = await cpuSecondsOf(program);
  const log = program.log();
  const inSyncAt = timeOf(log.find(({ msg }) => msg === 'in sync with the API server'));
  const firstAt = timeOf(log.find(({ msg }) => msg === 'pull Secret renewed'));
  const lastAt = timeOf(log.findLast(({ msg }) => msg === 'pull Secret renewed'));
  return {
    namespaces: namespaces.length,
    hosts: hosts.length,
    writes_per_second: writesPerSecond,
    load_average: loadAverage,
    in_sync_seconds: (inSyncAt - startedAt) / 1000,
    in_sync_cpu_seconds: cpuBefore,
    rss_in_sync_mb: isInSync.rss,
    rss_highest_mb: (await memoryOf(program)).highest,
    renewal_seconds: (lastAt - firstAt) / 1000,
    renewal_cpu_ms_each: ((cpuAfter - cpuBefore) * 1000) / namespaces.length,
    stall_start_ms: stallOf(before),
    stall_renewal_ms: longestStall,
    writes: sumOf(now, 'ecr_pull_secrets_secret_writes_total', 'outcome="updated"'),
    writes_failed:
      sumOf(now, 'ecr_pull_secrets_secret_writes_total') -
      sumOf(now, 'ecr_pull_secrets_secret_writes_total', 'outcome="updated"'),
    api_writes: requests.writes - requestsBefore.writes,
    api_reads: requests.reads - requestsBefore.reads,
    token_calls: sumOf(now, 'ecr_pull_secrets_ecr_calls_total'),
  };
}

/** Requests for single Secrets that the API server has counted, whoever made them. */
async function apiRequests(crowd: BulkClient): Promise<{ writes: number; reads: number }> {
  const text = String(await crowd.request('GET', '/metrics'));
  const count = (verb: string) =>
    sumOf(text, 'apiserver_request_total', 'resource="secrets"', `verb="${verb}"`);
  return { writes: count('APPLY') + count('PATCH') + count('POST') + count('PUT'), reads: count('GET') };
}

/** In MB of a million bytes: what the process has now, and the most it ever had. */
async function memoryOf({ pid }: RunningProgram): Promise<{ rss: number; highest: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const megabytes = (field: string) =>
    (Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024) / 1e6;
  return { rss: megabytes('VmRSS'), highest: megabytes('VmHWM') };
}

/** User and system time of all its threads; the kernel counts in hundredths. */
async function cpuSecondsOf({ pid }: RunningProgram): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(' ');
  return (Number(fields[13]) + Number(fields[14])) / 100;
}

/** The longest stall of the event loop since the last scrape, in ms; the client library starts anew at each. */
function stallOf(metrics: string): number {
  return sumOf(metrics, 'nodejs_eventloop_lag_max_seconds') * 1000;
}

function timeOf(line: Record<string, unknown> | undefined): number {
  return Date.parse(String(line?.['time']));
}
