// Runs the program in a separate process, and reads its log and metrics.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { stringify } from 'yaml';
import { eventually } from './eventually.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Bundles the program into a file, as in the image. */
export async function bundleInto(file: string): Promise<void> {
  await promisify(execFile)(process.execPath, [join(root, 'build.ts'), file], { cwd: root });
}

const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const certificatesScript = fileURLToPath(
  new URL('../../certs-scripts/make-certificates.ts', import.meta.url),
);

/** A running `ecr-pull-secrets serve` in a separate process, configured by a file. */
export interface RunningProgram {
  /** `https://127.0.0.1:PORT/mutate`, and the CA of its certificate. */
  readonly webhookUrl: string;
  readonly caPem: string;
  readonly statusUrl: string;
  /** The output so far, of both streams. */
  output(): string;
  /** The lines of the log so far. */
  log(): Record<string, unknown>[];
  metrics(): Promise<string>;
  readonly pid: number | undefined;
  /** Resolves with the exit code. */
  readonly exited: Promise<number | null>;
  signal(signal: NodeJS.Signals): void;
  /** Sends SIGTERM and waits until the process exits. */
  stop(): Promise<void>;
}

export interface ProgramOptions {
  readonly kubeconfigPath: string;
  readonly environment: Record<string, string>;
  /** Merged into a configuration for tests: loopback, free ports, no shutdown delay. */
  readonly config?: Record<string, unknown>;
  /** Directory with tls.crt and tls.key; created if not given. */
  readonly certificates?: { directory: string; caPem: string };
  /** The file to run; the sources if not given. */
  readonly program?: string;
  /** Further arguments of `serve`. */
  readonly flags?: readonly string[];
  /** Whether to wait for /readyz; true if not given. */
  readonly waitUntilReady?: boolean;
}

/** Creates files with a CA and a certificate for 127.0.0.1 and localhost, with the script for users. */
export async function createCertificateFiles(
  directory: string,
  { days = 365 } = {},
): Promise<{ directory: string; caPem: string }> {
  const options = ['--dns', 'localhost', '--ip', '127.0.0.1', '--days', String(days), '--out', directory];
  await promisify(execFile)(process.execPath, [certificatesScript, ...options]);
  return { directory, caPem: await readFile(join(directory, 'ca.crt'), 'utf8') };
}

/** Starts the program and waits until it is ready. Its output goes to a file, so that reading it costs this process nothing. */
export async function startProgram(options: ProgramOptions): Promise<RunningProgram> {
  const directory = await mkdtemp(join(tmpdir(), 'ecr-pull-secrets-'));
  const certificates = options.certificates ?? (await createCertificateFiles(join(directory, 'tls')));
  const configFile = join(directory, 'config.yaml');
  await writeFile(configFile, stringify(buildConfiguration(options, certificates.directory)));
  const outputFile = join(directory, 'output');
  const output = await open(outputFile, 'a');
  const { program: file = mainFile, flags = [] } = options;
  const child = spawn(process.execPath, [file, 'serve', '--config', configFile, ...flags], {
    env: { PATH: process.env['PATH'], ...options.environment },
    stdio: ['ignore', output.fd, output.fd],
  });
  await output.close();
  const { exited, readOutput } = captureOutput(child, directory, outputFile);
  const log = () => readOutput().split('\n').flatMap(parseLogLine);
  const { webhook, status } = await waitUntilListening(child, log, readOutput);
  const program: RunningProgram = {
    webhookUrl: `${webhook}/mutate`,
    caPem: certificates.caPem,
    statusUrl: status,
    output: readOutput,
    log,
    metrics: async () => await (await fetch(`${status}/metrics`)).text(),
    pid: child.pid,
    get exited() {
      child.ref();
      return exited;
    },
    signal: (signal) => child.kill(signal),
    stop: async () => {
      child.ref();
      child.kill('SIGTERM');
      await exited;
    },
  };
  if (options.waitUntilReady !== false) {
    await waitForReady(program);
  }
  return program;
}

/** Removes the files of a process when it exits, and keeps its output readable. */
function captureOutput(child: ChildProcess, directory: string, outputFile: string) {
  // If a test fails before it stops the program, it must neither wait for the program nor leave it running.
  child.unref();
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  let finalOutput: string | undefined;
  const exited = once(child, 'exit').then(async ([code]) => {
    process.off('exit', kill);
    finalOutput = readFileSync(outputFile, 'utf8');
    await rm(directory, { recursive: true, force: true });
    return typeof code === 'number' ? code : null;
  });
  return { exited, readOutput: () => finalOutput ?? readFileSync(outputFile, 'utf8') };
}

async function waitUntilListening(child: ChildProcess, log: RunningProgram['log'], readOutput: () => string) {
  const line = await eventually(
    'the program listens',
    () => (child.exitCode === null ? log().find(({ msg }) => msg === 'listening') : {}),
    60_000,
  );
  const { webhook, status } = line;
  if (typeof webhook !== 'string' || typeof status !== 'string') {
    throw new Error(`the program exited at once:\n${readOutput()}`);
  }
  return { webhook, status };
}

async function waitForReady({ statusUrl, stop, output }: RunningProgram): Promise<void> {
  try {
    await eventually('the program is ready', async () => (await fetch(`${statusUrl}/readyz`)).ok, 60_000);
  } catch (cause) {
    await stop();
    throw new Error(`the program did not become ready:\n${output()}`, { cause });
  }
}

function buildConfiguration({ kubeconfigPath, config = {} }: ProgramOptions, certificates: string) {
  const { webhook, ...others } = config;
  return {
    webhook: {
      address: '127.0.0.1',
      port: 0,
      certFile: join(certificates, 'tls.crt'),
      keyFile: join(certificates, 'tls.key'),
      shutdownDelay: '0s',
      ...(typeof webhook === 'object' ? webhook : {}),
    },
    status: { address: '127.0.0.1', port: 0 },
    kubernetes: { kubeconfig: kubeconfigPath },
    log: { level: 'debug' },
    ...others,
  };
}

function parseLogLine(line: string): Record<string, unknown>[] {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}
