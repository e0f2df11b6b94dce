// Compares the hot path with a bare HTTPS server: npm run bench [-- --json FILE].
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startApiStandIn } from '../test/doubles/api-server/api-stand-in.ts';
import { startEcrDouble } from '../test/doubles/ecr/ecr-double.ts';
import { installServiceAccount } from '../test/support/installation.ts';
import { createCertificateFiles, startProgram } from '../test/support/program.ts';
import { sumOf } from './exposition.ts';
import { formatHotPathReport, type HotPathResult } from './hot-path-report.ts';
import { LatencyHistogram, latencyBucketUs } from './latency-histogram.ts';
import { createLoadGenerator, type LoadGenerator } from './load.ts';
import { writeResult } from './results.ts';
import { reviewText } from './review.ts';

/*
 * The hot path is an admission request whose namespace has a Secret with fresh tokens. The bare server is the upper bound
 * for a webhook on Node: a `node:https` server that parses the same review and returns a fixed patch.
 *
 * Each server runs in a separate process. The load alternates between the two in rounds that are short enough for a change
 * of the machine's speed to affect both. A round yields ratios, and a launch yields the median of its rounds. The webhook
 * is launched several times because launches of one program differ more than rounds of one launch, and the result is
 * the median of the launches. Compare the ratios of different runs, but not the absolute figures of different machines.
 */
const { values } = parseArgs({
  options: {
    /** File for the figures and the latency histograms. */
    json: { type: 'string' },
    launches: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '20' },
    seconds: { type: 'string', default: '0.5' },
    connections: { type: 'string', default: '8' },
  },
});
const launches = Number(values.launches);
const roundsOfLaunch = Number(values.rounds);
/** Until the just-in-time compiler has optimised the code, a request costs twice as much. */
const warmUpMs = 10_000;
const durationMs = Number(values.seconds) * 1000;
const connections = Number(values.connections);

interface Server {
  readonly load: LoadGenerator;
  /** CPU time of its process so far, in µs. */
  cpuUs(): Promise<number>;
}

interface Figures {
  readonly requests: number;
  readonly rps: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

type Target = 'webhook' | 'bare';
type Both<T> = Readonly<Record<Target, T>>;

interface Launch {
  readonly rounds: readonly Both<Figures>[];
  /** CPU time per request, in µs. */
  readonly cpuUs: Both<number>;
}

const directory = await mkdtemp(join(tmpdir(), 'bench-'));
const certificates = await createCertificateFiles(directory);
const body = reviewText('team-a');
const stops: (() => Promise<unknown>)[] = [];
/** Latencies of the measured rounds of all launches. */
const histograms: Both<LatencyHistogram> = { webhook: new LatencyHistogram(), bare: new LatencyHistogram() };
try {
  const bare = await startBareServer();
  await measure(bare, warmUpMs);
  const all: Launch[] = [];
  for (let launch = 0; launch < launches; launch += 1) {
    const webhook = await startWebhook();
    await measure(webhook, warmUpMs);
    all.push(await alternate({ webhook, bare }));
  }
  await report(all);
} finally {
  for (const stop of stops.reverse()) {
    await stop();
  }
  await rm(directory, { recursive: true, force: true });
}

/** Sends the load to both servers in short rounds. The order changes from round to round. */
async function alternate({ webhook, bare }: Both<Server>): Promise<Launch> {
  const rounds: Both<Figures>[] = [];
  // Read once before and once after the rounds: a scrape runs much code outside of the hot path, which would slow down
  // the requests that follow it.
  const before = { webhook: await webhook.cpuUs(), bare: await bare.cpuUs() };
  const measureWebhook = () => measure(webhook, durationMs, histograms.webhook);
  const measureBare = () => measure(bare, durationMs, histograms.bare);
  for (let round = 0; round < roundsOfLaunch; round += 1) {
    rounds.push(
      round % 2 === 0
        ? { webhook: await measureWebhook(), bare: await measureBare() }
        : { bare: await measureBare(), webhook: await measureWebhook() },
    );
  }
  const used = {
    webhook: (await webhook.cpuUs()) - before.webhook,
    bare: (await bare.cpuUs()) - before.bare,
  };
  const perRequest = (target: Target) =>
    used[target] / rounds.reduce((sum, round) => sum + round[target].requests, 0);
  return { rounds, cpuUs: { webhook: perRequest('webhook'), bare: perRequest('bare') } };
}

/** Starts the real program between the stand-ins. The warm-up creates the Secret of its namespace. */
async function startWebhook(): Promise<Server> {
  const cluster = await startApiStandIn();
  stops.push(() => cluster.stop());
  const ecr = await startEcrDouble();
  stops.push(() => ecr.stop());
  await cluster.request('POST', '/api/v1/namespaces', { metadata: { name: 'team-a' } });
  const program = await startProgram({
    kubeconfigPath: await installServiceAccount(cluster),
    environment: ecr.env(),
    certificates,
    config: { log: { level: 'info' } },
  });
  stops.push(() => program.stop());
  return {
    load: await connectTo(`${program.webhookUrl}?timeout=5s`),
    cpuUs: async () => sumOf(await program.metrics(), 'process_cpu_seconds_total') * 1e6,
  };
}

async function startBareServer(): Promise<Server> {
  const file = fileURLToPath(new URL('bare-server.ts', import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [file, directory], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  });
  stops.push(async () => {
    child.kill();
    await once(child, 'exit');
  });
  const [port] = child.stdout === null ? [] : await once(createInterface(child.stdout), 'line');
  return {
    load: await connectTo(`https://127.0.0.1:${port}/mutate?timeout=5s`),
    cpuUs: async () => {
      child.send('cpu');
      const [used] = await once(child, 'message');
      return Number(used);
    },
  };
}

async function connectTo(url: string): Promise<LoadGenerator> {
  const load = await createLoadGenerator({
    url: new URL(url),
    caPem: certificates.caPem,
    body,
    connections,
  });
  stops.push(async () => load.close());
  return load;
}

async function measure(
  { load }: Server,
  milliseconds: number,
  histogram?: LatencyHistogram,
): Promise<Figures> {
  const { requests, seconds, latenciesUs } = await load.run(milliseconds);
  histogram?.add(latenciesUs);
  const quantile = (q: number) => latenciesUs[Math.floor(latenciesUs.length * q)] ?? Number.NaN;
  return { requests, rps: requests / seconds, p50Us: quantile(0.5), p99Us: quantile(0.99) };
}

async function report(all: readonly Launch[]): Promise<void> {
  const ratios = all.map(({ rounds, cpuUs }) => {
    const ofRounds = (figure: keyof Figures) =>
      median(rounds.map(({ webhook, bare }) => webhook[figure] / bare[figure]));
    return {
      rps_ratio: rounded(ofRounds('rps'), 3),
      p99_ratio: rounded(ofRounds('p99Us'), 3),
      cpu_ratio: rounded(cpuUs.webhook / cpuUs.bare, 3),
    };
  });
  const ratio = (name: keyof (typeof ratios)[number]) => median(ratios.map((launch) => launch[name]));
  const medianOf = (target: Target, figure: keyof Figures) =>
    Math.round(median(all.flatMap(({ rounds }) => rounds.map((round) => round[target][figure]))));
  const cpu = (target: Target) => Math.round(median(all.map(({ cpuUs }) => cpuUs[target])));
  const result: HotPathResult = {
    rps_ratio: ratio('rps_ratio'),
    p99_ratio: ratio('p99_ratio'),
    cpu_ratio: ratio('cpu_ratio'),
    rps: medianOf('webhook', 'rps'),
    rps_bare: medianOf('bare', 'rps'),
    p50_us: medianOf('webhook', 'p50Us'),
    p50_us_bare: medianOf('bare', 'p50Us'),
    p99_us: medianOf('webhook', 'p99Us'),
    p99_us_bare: medianOf('bare', 'p99Us'),
    cpu_us: cpu('webhook'),
    cpu_us_bare: cpu('bare'),
    review_bytes: Buffer.byteLength(body),
    connections,
    rounds: roundsOfLaunch,
    launches: ratios,
    latency_bucket_us: latencyBucketUs,
    latency_counts: histograms.webhook.counts(),
    latency_counts_bare: histograms.bare.counts(),
  };
  if (values.json !== undefined) {
    await writeResult(values.json, result);
  }
  process.stdout.write(`${formatHotPathReport(result)}\n`);
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
