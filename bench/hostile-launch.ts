// Runs the bundled program as the image does, within the chart's memory limit, and watches it from outside.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { eventually } from '../test/support/eventually.ts';
import { sumOf } from './exposition.ts';
import { chartMemoryLimit, imageLaunch, type MemoryLimit, memoryLimit } from './hostile-limits.ts';

/** One process of the program. */
export interface Launched {
  /** `https://127.0.0.1:PORT/mutate`. */
  readonly webhookUrl: string;
  readonly caPem: string;
  readonly limitKind: MemoryLimit['kind'];
  metrics(): Promise<string>;
  /** How it died, such as `killed at its memory limit`; undefined while it runs. */
  death(): string | undefined;
  /** The most that counted against the limit so far, in bytes; seen every 50 ms. */
  peakBytes(): number;
  /** Starts to measure stalls of its event loop. Call the result to get the longest one since then, in ms. */
  stalls(): Promise<() => Promise<number>>;
  /** SIGTERM, then SIGKILL if that takes longer than 15 s. Removes everything that the launch created. */
  stop(): Promise<void>;
}

export interface LaunchOptions {
  /** The bundle. */
  readonly program: string;
  readonly certificates: { readonly directory: string; readonly caPem: string };
  readonly kubeconfigPath: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Whether its standard output is a pipe that is no longer read once the program listens. */
  readonly stalledReader?: boolean;
}

const pollMs = 50;
/** As often as a stall is looked for. Each scrape costs the program some milliseconds. */
const scrapeMs = 2_000;
const stopWithinMs = 15_000;

/** Starts the program and waits until it is ready. */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const directory = await mkdtemp(join(tmpdir(), 'hostile-'));
  const limitBytes = chartMemoryLimit();
  const limit = memoryLimit(limitBytes);
  const child = await spawnProgram(options, directory, limit.prefix);
  const killAtExit = () => child.kill('SIGKILL');
  process.once('exit', killAtExit);
  const exited = once(child, 'exit');
  const watched = watchMemory(child, limitBytes, limit);
  const stopOnce = async () => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), stopWithinMs);
    await exited;
    clearTimeout(timer);
    watched.end();
    process.off('exit', killAtExit);
    child.stdout?.destroy();
    await limit.remove();
    await rm(directory, { recursive: true, force: true });
  };
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= stopOnce();
    return stopped;
  };
  try {
    const { webhook, status } = await listening(child, directory, options.stalledReader === true);
    const metrics = async () => await (await fetch(`${status}/metrics`)).text();
    await eventually('the program is ready', async () => (await fetch(`${status}/readyz`)).ok, 30_000);
    return {
      webhookUrl: `${webhook}/mutate`,
      caPem: options.certificates.caPem,
      limitKind: limit.kind,
      metrics,
      death: watched.death,
      peakBytes: watched.peakBytes,
      stalls: () => measureStalls(status, metrics),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function spawnProgram(
  { program, certificates, kubeconfigPath, environment, stalledReader = false }: LaunchOptions,
  directory: string,
  prefix: readonly string[],
): Promise<ChildProcess> {
  const config = join(directory, 'config.yaml');
  await writeFile(config, stringify(configuration(kubeconfigPath, certificates.directory)));
  const output = await open(join(directory, 'output'), 'a');
  const image = imageLaunch();
  const node = [process.execPath, ...image.nodeOptions, program, 'serve', '--config', config];
  const [command = '', ...args] = [...prefix, ...node];
  const child = spawn(command, args, {
    env: { PATH: process.env['PATH'], ...image.environment, ...environment },
    stdio: ['ignore', stalledReader ? 'pipe' : output.fd, output.fd],
  });
  await output.close();
  return child;
}

function configuration(kubeconfig: string, certificates: string) {
  return {
    webhook: {
      address: '127.0.0.1',
      port: 0,
      certFile: join(certificates, 'tls.crt'),
      keyFile: join(certificates, 'tls.key'),
      shutdownDelay: '0s',
      drainTimeout: '5s',
    },
    status: { address: '127.0.0.1', port: 0 },
    kubernetes: { kubeconfig },
  };
}

interface Addresses {
  readonly webhook: string;
  readonly status: string;
}

/** Waits for the line of the log that tells the addresses. A pipe is not read any further after that. */
async function listening(child: ChildProcess, directory: string, piped: boolean): Promise<Addresses> {
  const file = join(directory, 'output');
  let read = '';
  const onData = (chunk: Buffer) => {
    read += chunk.toString();
  };
  child.stdout?.on('data', onData);
  const addresses = await eventually(
    'the program listens',
    () => {
      const text = piped ? read : readFileSync(file, 'utf8');
      if (child.exitCode !== null) {
        throw new Error(`the program exited: ${read}${readFileSync(file, 'utf8')}`);
      }
      const line = text.split('\n').find((one) => one.includes('"webhook":"https://'));
      return line === undefined ? undefined : (JSON.parse(line) as Addresses);
    },
    30_000,
  );
  child.stdout?.off('data', onData).pause();
  return addresses;
}

/** Notes the most memory that a process used, and where the kernel does not do it, kills it above the limit. */
function watchMemory(child: ChildProcess, limitBytes: number, limit: MemoryLimit) {
  let peak = 0;
  let killedHere = false;
  const timer = setInterval(() => {
    peak = Math.max(peak, limit.usedBytes(child.pid ?? 0));
    if (limit.kind === 'polling' && peak > limitBytes) {
      killedHere = child.kill('SIGKILL') || killedHere;
    }
  }, pollMs);
  return {
    end: () => clearInterval(timer),
    peakBytes: () => peak,
    death: () => {
      if (child.exitCode === null && child.signalCode === null) return undefined;
      if (limit.kills() > 0 || killedHere) return 'killed at its memory limit';
      return child.signalCode === 'SIGABRT' || child.exitCode === 134
        ? 'out of heap'
        : `exited (${child.signalCode ?? child.exitCode})`;
    },
  };
}

/**
 * The event loop's own measure, and where the process died or the measure is missing, the longest time for which
 * `/healthz` was not answered.
 */
async function measureStalls(status: string, metrics: () => Promise<string>): Promise<() => Promise<number>> {
  let inside = 0;
  let outside = 0;
  let ended = false;
  const stallOf = (exposition: string) => sumOf(exposition, 'nodejs_eventloop_lag_max_seconds') * 1000;
  await metrics(); // each scrape starts the measure anew
  const timer = setInterval(() => {
    metrics().then(
      (exposition) => {
        inside = Math.max(inside, stallOf(exposition));
      },
      () => undefined, // it died, which shows elsewhere
    );
  }, scrapeMs);
  const probing = (async () => {
    while (!ended) {
      const askedAt = performance.now();
      const answered = await fetch(`${status}/healthz`, { signal: AbortSignal.timeout(10_000) }).then(
        async (response) => (await response.text()) === 'ok\n',
        () => false,
      );
      outside = Math.max(outside, performance.now() - askedAt);
      if (!answered) return;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  return async () => {
    clearInterval(timer);
    ended = true;
    const last = await metrics().then(stallOf, () => undefined);
    await probing;
    if (last === undefined || last === 0) return outside;
    return Math.max(inside, last);
  };
}
