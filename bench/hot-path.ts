import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startApiStandIn } from '../test/doubles/api-server/api-server.ts';
import { startEcrDouble } from '../test/doubles/ecr/double.ts';
import { installAccount } from '../test/support/installation.ts';
import { certificatesIn, startProgram } from '../test/support/process.ts';
import { sumOf } from './exposition.ts';
import { sendLoad } from './load.ts';
import { reviewText } from './review.ts';

/**
 * The hot path (the namespace's Secret is known and its tokens are fresh) against the least that a webhook on Node can
 * do: a bare `node:https` server that parses the same review and answers a fixed patch. Both are processes of their
 * own; the load goes to one and the other in turn, each round's figures are set against each other, and the median of
 * the rounds' ratios is told. Ratios of one run are comparable, absolute figures of two machines are not.
 */
const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '2' },
    connections: { type: 'string', default: '8' },
  },
});
const rounds = Number(values.rounds);
/** A process runs for weeks; until the compiler has seen enough of it, it costs twice as much. */
const warmUpMs = 10_000;
const durationMs = Number(values.seconds) * 1000;
const connections = Number(values.connections);

interface Server {
  readonly url: URL;
  /** CPU time of its process so far, in µs. */
  cpuUs(): Promise<number>;
}

interface Figures {
  readonly rps: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly cpuUs: number;
}

const directory = await mkdtemp(join(tmpdir(), 'bench-'));
const certificates = await certificatesIn(directory);
const body = reviewText('team-a');
const stops: (() => Promise<unknown>)[] = [];
try {
  const servers = { ours: await startOurs(), bare: await startBare() };
  await measure(servers.ours, warmUpMs);
  await measure(servers.bare, warmUpMs);
  const all: { ours: Figures; bare: Figures }[] = [];
  for (let round = 0; round < rounds; round += 1) {
    // the one that goes first changes from round to round
    const order = round % 2 === 0 ? (['ours', 'bare'] as const) : (['bare', 'ours'] as const);
    const results: Partial<Record<'ours' | 'bare', Figures>> = {};
    for (const name of order) {
      results[name] = await measure(servers[name], durationMs);
    }
    if (results.ours !== undefined && results.bare !== undefined) {
      all.push({ ours: results.ours, bare: results.bare });
    }
  }
  report(all);
} finally {
  for (const stop of stops.reverse()) {
    await stop();
  }
  await rm(directory, { recursive: true, force: true });
}

/** The real program, between the stand-ins, with one Secret that is fresh. */
async function startOurs(): Promise<Server> {
  const cluster = await startApiStandIn();
  stops.push(() => cluster.stop());
  const ecr = await startEcrDouble();
  stops.push(() => ecr.stop());
  await cluster.request('POST', '/api/v1/namespaces', { metadata: { name: 'team-a' } });
  const program = await startProgram({
    kubeconfigPath: await installAccount(cluster),
    environment: ecr.env(),
    certificates,
    config: { log: { level: 'info' } },
  });
  stops.push(() => program.stop());
  const url = new URL(`${program.webhookUrl}?timeout=5s`);
  await sendLoad({ url, caPem: certificates.caPem, body, connections: 1, durationMs: 50 });
  return { url, cpuUs: async () => sumOf(await program.metrics(), 'process_cpu_seconds_total') * 1e6 };
}

async function startBare(): Promise<Server> {
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
    url: new URL(`https://127.0.0.1:${port}/mutate?timeout=5s`),
    cpuUs: async () => {
      child.send('cpu');
      const [used] = await once(child, 'message');
      return Number(used);
    },
  };
}

async function measure({ url, cpuUs }: Server, milliseconds: number): Promise<Figures> {
  const before = await cpuUs();
  const load = { url, caPem: certificates.caPem, body, connections, durationMs: milliseconds };
  const { requests, seconds, latenciesUs } = await sendLoad(load);
  const quantile = (q: number) => latenciesUs[Math.floor(latenciesUs.length * q)] ?? Number.NaN;
  return {
    rps: requests / seconds,
    p50Us: quantile(0.5),
    p99Us: quantile(0.99),
    cpuUs: ((await cpuUs()) - before) / requests,
  };
}

function report(all: readonly { ours: Figures; bare: Figures }[]): void {
  const ratio = (of: keyof Figures) => rounded(median(all.map(({ ours, bare }) => ours[of] / bare[of])), 3);
  const middle = (who: 'ours' | 'bare', of: keyof Figures) =>
    Math.round(median(all.map((round) => round[who][of])));
  const figures = {
    rps_ratio: ratio('rps'),
    p99_ratio: ratio('p99Us'),
    cpu_ratio: ratio('cpuUs'),
    rps: middle('ours', 'rps'),
    rps_bare: middle('bare', 'rps'),
    p50_us: middle('ours', 'p50Us'),
    p50_us_bare: middle('bare', 'p50Us'),
    p99_us: middle('ours', 'p99Us'),
    p99_us_bare: middle('bare', 'p99Us'),
    cpu_us: middle('ours', 'cpuUs'),
    cpu_us_bare: middle('bare', 'cpuUs'),
    review_bytes: Buffer.byteLength(body),
    connections,
    rounds,
  };
  if (values.json) {
    process.stdout.write(`${JSON.stringify(figures)}\n`);
    return;
  }
  const row = (name: string, ours: number, bare: number, ratioText: number, goal: string) =>
    `${name.padEnd(22)}${String(ours).padStart(10)}${String(bare).padStart(10)}${String(ratioText).padStart(10)}   ${goal}\n`;
  process.stdout.write(
    `hot path, a review of ${figures.review_bytes} bytes, ${connections} kept TLS connections, median of ${rounds} rounds\n\n` +
      `${''.padEnd(22)}${'ours'.padStart(10)}${'bare'.padStart(10)}${'ratio'.padStart(10)}   goal\n` +
      row('requests per second', figures.rps, figures.rps_bare, figures.rps_ratio, 'at least 0.85') +
      row('p99 latency, µs', figures.p99_us, figures.p99_us_bare, figures.p99_ratio, 'at most 1.5') +
      row('CPU per request, µs', figures.cpu_us, figures.cpu_us_bare, figures.cpu_ratio, 'at most 1.2'),
  );
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
