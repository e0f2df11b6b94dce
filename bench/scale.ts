// Measures one process with 10,000 namespaces on a real API server: npm run bench:scale [-- --json FILE].
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { hostsAnnotation } from '../src/labels.ts';
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
import { writeResult } from './results.ts';
import { describeRenewal, isRenewal, timeOf } from './scale-course.ts';
import { formatScaleReport, type ScaleFigures } from './scale-report.ts';

/*
 * Starts the bundled program with the heap limits that it has in the image. Each namespace has a pull Secret that is due
 * for renewal. Measures the time until the program is in sync, and then one renewal of all Secrets. Linux only, because
 * it reads /proc.
 */
const { values } = parseArgs({
  options: {
    /** File for the figures and the course of the renewal. */
    json: { type: 'string' },
    namespaces: { type: 'string', default: '10000' },
    /** Number of ECR hosts in each Secret. Each host belongs to another account in the same region. */
    hosts: { type: 'string', default: '1' },
    /** `one`: the program's own AWS identity. `namespace`: each namespace has a role of its own, and so a token of its own. */
    identities: { type: 'string', default: 'one' },
    /** Default: 50, or 10 with one identity for each namespace, because each write then needs a call to ECR. */
    'writes-per-second': { type: 'string' },
    /** Defaults to the heap limits that the Dockerfile sets in a container of 256 MiB, the chart's limit. */
    'node-options': { type: 'string', default: '--max-old-space-size=128 --max-semi-space-size=4' },
  },
});
const identities = parseIdentities(values.identities);
const writesPerSecond = Number(values['writes-per-second'] ?? (identities === 'one' ? 50 : 10));
const registries =
  identities === 'one' ? [] : [{ roleArn: 'arn:aws:iam::123456789012:role/ecr-{namespace}' }];
const namespaces = Array.from({ length: Number(values.namespaces) }, (_, index) => `team-${index}`);
const hosts = Array.from(
  { length: Number(values.hosts) },
  (_, index) =>
    `${String(index + 1)
      .repeat(12)
      .slice(0, 12)}.dkr.ecr.eu-central-1.amazonaws.com`,
);

const hourMs = 3_600_000;
/** A usual scrape interval of Prometheus. Each scrape returns the longest stall since the previous one. */
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
  const client = createBulkClient(cluster.kubeconfigPath);
  stops.push(() => client.close());
  const expirations = await createSecrets(client);
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
    config: { registries, renewal: { writesPerSecond }, log: { level: 'info' } },
  });
  stops.push(() => running.stop());
  const figures = await measure(running, client, { startedAt, loadAverage });
  if (values.json !== undefined) {
    const course = describeRenewal(running.log(), expirations, await readExpirations(client));
    await writeResult(values.json, { ...figures, ...course });
  }
  process.stdout.write(`${formatScaleReport(figures)}\n`);
} finally {
  for (const stop of stops.reverse()) {
    await stop();
  }
}

function parseIdentities(text: string): ScaleFigures['identities'] {
  assert.ok(text === 'one' || text === 'namespace', '--identities is one or namespace');
  return text;
}

/**
 * Creates the namespaces and their Secrets. Tokens expire in 1 to 5 hours, so that all of them are past half of their
 * lifetime of 12 hours and past the jitter, but differ in urgency.
 * @returns when the tokens of each namespace expire, in ms since the epoch
 */
async function createSecrets(client: BulkClient): Promise<Map<string, number>> {
  await client.createNamespaces(namespaces);
  const now = Date.now();
  const expirations = new Map(
    namespaces.map((namespace, index) => [namespace, now + (1 + (index % 9) / 2) * hourMs]),
  );
  for (const [expiresAt, group] of Map.groupBy(
    namespaces,
    (namespace) => expirations.get(namespace) ?? now,
  )) {
    const lifetime = { issuedAt: expiresAt - 12 * hourMs, expiresAt };
    await client.storeSecrets(group, new Map(hosts.map((host) => [host, lifetime])));
  }
  return expirations;
}

/** Returns when the first token of each namespace expires, in ms since the epoch. */
async function readExpirations(client: BulkClient): Promise<Map<string, number>> {
  const expirations = new Map<string, number>();
  let next: string | undefined = '';
  while (next !== undefined) {
    const query = new URLSearchParams({
      fieldSelector: 'metadata.name=ecr-pull-secrets',
      limit: '1000',
      continue: next,
    });
    const page = (await client.request('GET', `/api/v1/secrets?${query}`)) as SecretPage;
    for (const { metadata } of page.items) {
      const lifetimes: Record<string, { expiresAt: string }> = JSON.parse(
        metadata.annotations[hostsAnnotation] ?? '{}',
      );
      const ends = Object.values(lifetimes).map(({ expiresAt }) => Date.parse(expiresAt));
      expirations.set(metadata.namespace, Math.min(...ends));
    }
    next = page.metadata.continue || undefined;
  }
  return expirations;
}

interface SecretPage {
  readonly metadata: { readonly continue?: string };
  readonly items: readonly {
    readonly metadata: { readonly namespace: string; readonly annotations: Record<string, string> };
  }[];
}

async function measure(
  program: RunningProgram,
  client: BulkClient,
  { startedAt, loadAverage }: { startedAt: number; loadAverage: number },
): Promise<ScaleFigures> {
  const isInSync = await memoryOf(program);
  const cpuBefore = await cpuSecondsOf(program);
  const before = await program.metrics();
  const requestsBefore = await apiRequests(client);
  let longestStall = 0;
  let now = before;
  while (sumOf(now, 'ecr_pull_secrets_renewals_total') < namespaces.length) {
    await sleep(Math.min(scrapeMs, (namespaces.length / writesPerSecond) * 250));
    now = await program.metrics();
    longestStall = Math.max(longestStall, stallOf(now));
  }
  const requests = await apiRequests(client);
  const cpuAfter = await cpuSecondsOf(program);
  const log = program.log();
  const inSyncAt = timeOf(log.find(({ msg }) => msg === 'in sync with the API server'));
  const firstAt = timeOf(log.find(isRenewal));
  const lastAt = timeOf(log.findLast(isRenewal));
  return {
    namespaces: namespaces.length,
    hosts: hosts.length,
    identities,
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
    token_calls: sumOf(now, 'ecr_pull_secrets_ecr_requests_total'),
  };
}

/** Returns how many requests for single Secrets the API server has received from any client. */
async function apiRequests(client: BulkClient): Promise<{ writes: number; reads: number }> {
  const text = String(await client.request('GET', '/metrics'));
  const count = (verb: string) =>
    sumOf(text, 'apiserver_request_total', 'resource="secrets"', `verb="${verb}"`);
  return { writes: count('APPLY') + count('PATCH') + count('POST') + count('PUT'), reads: count('GET') };
}

/** Returns the resident memory of the process in units of 1,000,000 bytes: now, and its maximum. */
async function memoryOf({ pid }: RunningProgram): Promise<{ rss: number; highest: number }> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const megabytes = (field: string) =>
    (Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024) / 1e6;
  return { rss: megabytes('VmRSS'), highest: megabytes('VmHWM') };
}

/** Returns the user and system time of all threads. The kernel counts in hundredths of a second. */
async function cpuSecondsOf({ pid }: RunningProgram): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(' ');
  return (Number(fields[13]) + Number(fields[14])) / 100;
}

/** Returns the longest stall of the event loop since the previous scrape, in ms. The client library resets it at each. */
function stallOf(metrics: string): number {
  return sumOf(metrics, 'nodejs_eventloop_lag_max_seconds') * 1000;
}
