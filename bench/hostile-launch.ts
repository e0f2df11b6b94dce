// Runs the bundled program as the image does, within the chart's memory limit, and measures it from outside.
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
  /** Why it exited, such as `killed at its memory limit`; undefined while it runs. */
  death(): string | undefined;
  /** Maximum of the memory that counts against the limit, in bytes, sampled every 50 ms. */
  peakBytes(): number;
  /** Starts to measure stalls of the event loop. The returned function stops and returns the longest one in ms. */
  stalls(): Promise<() => Promise<number>>;
  /** Sends SIGTERM, and SIGKILL after 15 s. Removes everything that the launch created. */
  stop(): Promise<void>;
}

export interface LaunchOptions {
  /** The bundle. */
  readonly program: string;
  readonly certificates: { readonly directory: string; readonly caPem: string };
  readonly kubeconfigPath: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Whether standard output is a pipe that is not read after the program listens. */
  readonly stalledReader?: boolean;
  /** The `registries` of the configuration. */
  readonly registries: readonly object[];
}

const pollMs = 50;
/** Interval of the scrapes that find stalls. Each scrape costs the program some milliseconds. */
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
    const { webhook, status } = await waitForAddresses(child, directory, options.stalledReader === true);
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
  { program, certificates, kubeconfigPath, environment, stalledReader = false, registries }: LaunchOptions,
  directory: string,
  prefix: readonly string[],
): Promise<ChildProcess> {
  const config = join(directory, 'config.yaml');
  await writeFile(
    config,
    stringify({ ...configuration(kubeconfigPath, certificates.directory), registries }),
  );
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

/** Waits for the log line with the addresses. A pipe is not read after that. */
async function waitForAddresses(child: ChildProcess, directory: string, piped: boolean): Promise<Addresses> {
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

/** Records the maximum memory of a process, and kills it above the limit if the kernel does not. */
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
      if (child.exitCode === null && child.signalCode === null) {
        return undefined;
      }
      if (limit.kills() > 0 || killedHere) {
        return 'killed at its memory limit';
      }
      return child.signalCode === 'SIGABRT' || child.exitCode === 134
        ? 'out of heap'
        : `exited (${child.signalCode ?? child.exitCode})`;
    },
  };
}

/**
 * Measures the longest stall with the event loop's own metric. If the process exits or the metric is missing, the result is
 * the longest response time of `/healthz`.
 */
async function measureStalls(status: string, metrics: () => Promise<string>): Promise<() => Promise<number>> {
  let inside = 0;
  let outside = 0;
  let ended = false;
  const stallOf = (exposition: string) => sumOf(exposition, 'nodejs_eventloop_lag_max_seconds') * 1000;
  await metrics(); // Each scrape resets the metric.
  const timer = setInterval(() => {
    metrics().then(
      (exposition) => {
        inside = Math.max(inside, stallOf(exposition));
      },
      () => undefined, // The process has exited, which `death` reports.
    );
  }, scrapeMs);
  const probing = (async () => {
    while (!ended) {
      const sentAt = performance.now();
      const isHealthy = await fetch(`${status}/healthz`, { signal: AbortSignal.timeout(10_000) }).then(
        async (response) => (await response.text()) === 'ok\n',
        () => false,
      );
      outside = Math.max(outside, performance.now() - sentAt);
      if (!isHealthy) {
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  })();
  return async () => {
    clearInterval(timer);
    ended = true;
    const last = await metrics().then(stallOf, () => undefined);
    await probing;
    if (last === undefined || last === 0) {
      return outside;
    }
    return Math.max(inside, last);
  };
}
