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
import { type Callers, callers } from './load.ts';
import { reviewText } from './review.ts';

/**
 * The hot path (the namespace's Secret is known and its tokens are fresh) against the least that a webhook on Node can
 * do: a bare `node:https` server that parses the same review and answers a fixed patch. Both are processes of their
 * own; the load goes to one and the other in turn, in rounds so short that a machine which changes its speed changes it
 * for both. Each round's figures are set against each other, and the median of the rounds is a launch's figure. Ours is
 * launched several times, because launches of one program differ more than rounds of one launch, and the median of the
 * launches is told. Ratios of one run are comparable, absolute figures of two machines are not.
 */
const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    launches: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '20' },
    seconds: { type: 'string', default: '0.5' },
    connections: { type: 'string', default: '8' },
  },
});
const launches = Number(values.launches);
const roundsOfLaunch = Number(values.rounds);
/** A process runs for weeks; until the compiler has seen enough of it, it costs twice as much. */
const warmUpMs = 10_000;
const durationMs = Number(values.seconds) * 1000;
const connections = Number(values.connections);

interface Server {
  readonly calls: Callers;
  /** CPU time of its process so far, in µs. */
  cpuUs(): Promise<number>;
}

interface Figures {
  readonly requests: number;
  readonly rps: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

type Who = 'ours' | 'bare';
type Both<T> = Readonly<Record<Who, T>>;

interface Launch {
  readonly rounds: readonly Both<Figures>[];
  /** CPU time for each request, in µs. */
  readonly cpuUs: Both<number>;
}

const directory = await mkdtemp(join(tmpdir(), 'bench-'));
const certificates = await createCertificateFiles(directory);
const body = reviewText('team-a');
const stops: (() => Promise<unknown>)[] = [];
try {
  const bare = await startBare();
  await measure(bare, warmUpMs);
  const all: Launch[] = [];
  for (let launch = 0; launch < launches; launch += 1) {
    const ours = await startOurs();
    await measure(ours, warmUpMs);
    all.push(await inTurn(ours, bare));
  }
  report(all);
} finally {
  for (const stop of stops.reverse()) {
    await stop();
  }
  await rm(directory, { recursive: true, force: true });
}

async function inTurn(ours: Server, bare: Server): Promise<Launch> {
  const rounds: Both<Figures>[] = [];
  // Only once each: the scrape that tells it runs much code that is not of the hot path, and the next calls pay for it.
  const before = { ours: await ours.cpuUs(), bare: await bare.cpuUs() };
  for (let round = 0; round < roundsOfLaunch; round += 1) {
    // the one that goes first changes from round to round
    rounds.push(
      round % 2 === 0
        ? { ours: await measure(ours, durationMs), bare: await measure(bare, durationMs) }
        : { bare: await measure(bare, durationMs), ours: await measure(ours, durationMs) },
    );
  }
  const used = { ours: (await ours.cpuUs()) - before.ours, bare: (await bare.cpuUs()) - before.bare };
  const perRequest = (who: Who) => used[who] / rounds.reduce((sum, round) => sum + round[who].requests, 0);
  return { rounds, cpuUs: { ours: perRequest('ours'), bare: perRequest('bare') } };
}

/** The real program, between the stand-ins, with one Secret that is fresh. */
async function startOurs(): Promise<Server> {
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
    calls: await callersOf(`${program.webhookUrl}?timeout=5s`),
    cpuUs: async () => sumOf(await program.metrics(), 'process_cpu_seconds_total') * 1e6,
  };
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
    calls: await callersOf(`https://127.0.0.1:${port}/mutate?timeout=5s`),
    cpuUs: async () => {
      child.send('cpu');
      const [used] = await once(child, 'message');
      return Number(used);
    },
  };
}

async function callersOf(url: string): Promise<Callers> {
  const calls = await callers({ url: new URL(url), caPem: certificates.caPem, body, connections });
  stops.push(async () => calls.end());
  return calls;
}

async function measure({ calls }: Server, milliseconds: number): Promise<Figures> {
  const { requests, seconds, latenciesUs } = await calls.call(milliseconds);
  const quantile = (q: number) => latenciesUs[Math.floor(latenciesUs.length * q)] ?? Number.NaN;
  return { requests, rps: requests / seconds, p50Us: quantile(0.5), p99Us: quantile(0.99) };
}

function report(all: readonly Launch[]): void {
  const ratios = all.map(({ rounds, cpuUs }) => {
    const ofRounds = (of: keyof Figures) => median(rounds.map(({ ours, bare }) => ours[of] / bare[of]));
    return {
      rps_ratio: rounded(ofRounds('rps'), 3),
      p99_ratio: rounded(ofRounds('p99Us'), 3),
      cpu_ratio: rounded(cpuUs.ours / cpuUs.bare, 3),
    };
  });
  type Ratio = keyof (typeof ratios)[number];
  const ratio = (of: Ratio) => median(ratios.map((launch) => launch[of]));
  const middle = (who: Who, of: keyof Figures) =>
    Math.round(median(all.flatMap(({ rounds }) => rounds.map((round) => round[who][of]))));
  const cpu = (who: Who) => Math.round(median(all.map(({ cpuUs }) => cpuUs[who])));
  const figures = {
    rps_ratio: ratio('rps_ratio'),
    p99_ratio: ratio('p99_ratio'),
    cpu_ratio: ratio('cpu_ratio'),
    rps: middle('ours', 'rps'),
    rps_bare: middle('bare', 'rps'),
    p50_us: middle('ours', 'p50Us'),
    p50_us_bare: middle('bare', 'p50Us'),
    p99_us: middle('ours', 'p99Us'),
    p99_us_bare: middle('bare', 'p99Us'),
    cpu_us: cpu('ours'),
    cpu_us_bare: cpu('bare'),
    review_bytes: Buffer.byteLength(body),
    connections,
    rounds: roundsOfLaunch,
    launches: ratios,
  };
  if (values.json) {
    process.stdout.write(`${JSON.stringify(figures)}\n`);
    return;
  }
  const row = (name: string, ...cells: (string | number)[]) =>
    `${[name.padEnd(22), ...cells.map((cell) => String(cell).padStart(10))].join('')}\n`;
  const of = (name: Ratio, goal: string) => [
    figures[name],
    goal,
    `  ${ratios.map((launch) => launch[name]).join(' ')}`,
  ];
  process.stdout.write(
    `hot path, a review of ${figures.review_bytes} bytes, ${connections} kept TLS connections, ` +
      `median of ${launches} launches of ${roundsOfLaunch} rounds\n\n` +
      row('', 'ours', 'bare', 'ratio', 'goal', '  launches') +
      row('requests per second', figures.rps, figures.rps_bare, ...of('rps_ratio', '≥ 0.85')) +
      row('p99 latency, µs', figures.p99_us, figures.p99_us_bare, ...of('p99_ratio', '≤ 1.5')) +
      row('CPU per request, µs', figures.cpu_us, figures.cpu_us_bare, ...of('cpu_ratio', '≤ 1.2')),
  );
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
