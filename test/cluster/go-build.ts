// Builds programs with Go, once per machine.
import { spawn } from 'node:child_process';
import { link, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { killOnExit } from './child-process.ts';
import { getModuleFolder } from './kubernetes-versions.ts';

/** Takes one line of progress, without a line end. */
export type PrintLine = (line: string) => void;

/** A Go build failed. The message holds the end of what Go said. */
export class BuildError extends Error {
  readonly code = 'build-failed';
}

/** What to build with the module of a Kubernetes version. */
export interface Product {
  /** For the messages. */
  readonly name: string;
  /** How long it takes, for the messages. */
  readonly effort: string;
  /** Packages of the module or its dependencies, or one Go file anywhere. */
  readonly sources: readonly string[];
  /** Names that Go gives to programs → names to give them instead. */
  readonly renamed: Readonly<Record<string, string>>;
}

export interface BuildOptions {
  readonly product: Product;
  /** A version that there is a module for. */
  readonly version: string;
  /** The folder to make: appears whole or not at all. */
  readonly target: string;
  /** Whether `target` is complete. */
  readonly present: () => boolean;
  /** For Go: PATH, its caches and proxies. */
  readonly env: NodeJS.ProcessEnv;
  readonly say: PrintLine;
}

/**
 * Builds programs with Go. Where another process is at it already, waits for that one.
 * @throws {BuildError}
 */
export async function buildOnce(order: BuildOptions): Promise<void> {
  const { product, version, target, present, say } = order;
  await mkdir(dirname(target), { recursive: true });
  const lock = `${target}.lock`;
  let hasReported = false;
  while (!present()) {
    if (await tryLock(lock)) {
      try {
        if (!present()) {
          await build(order);
        }
      } finally {
        await rm(lock, { force: true });
      }
      return;
    }
    if (!hasReported) {
      say(`another process builds ${product.name} ${version}; waiting for it (${lock})`);
    }
    hasReported = true;
    await pause(250);
  }
}

// The lock spares work and guards nothing: the rename in build() is what makes two builders harmless.
async function tryLock(lock: string): Promise<boolean> {
  const mine = `${lock}.${process.pid}`;
  await writeFile(mine, String(process.pid));
  try {
    await link(mine, lock); // Unlike a new file that is then written to, it never stands there without our pid.
    return true;
  } catch {
    const holder = Number(await readFile(lock, 'utf8').catch(() => ''));
    if (holder > 0 && !isProcessAlive(holder)) {
      await rm(lock, { force: true });
    }
    return false;
  } finally {
    await rm(mine, { force: true });
  }
}

function isProcessAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

async function build(order: BuildOptions): Promise<void> {
  const { product, version, target, say } = order;
  say(`building ${product.name} of Kubernetes ${version} with Go into ${target}`);
  say(`(${product.effort}; once: afterwards they are there)`);
  const folder = await mkdtemp(`${target}.partial-`);
  try {
    await compile(order, folder);
    for (const [from, to] of Object.entries(product.renamed)) {
      await rename(join(folder, from), join(folder, to));
    }
    await rm(target, { recursive: true, force: true });
    await rename(folder, target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function compile({ product, version, env, say }: BuildOptions, folder: string): Promise<void> {
  const started = performance.now();
  const go = spawn('go', goArguments(product, version, folder), {
    cwd: getModuleFolder(version),
    env: { ...env, GOWORK: 'off', CGO_ENABLED: '0' }, // No C compiler needed, whatever Go finds.
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  killOnExit(go);
  const count = { downloaded: 0, compiled: 0 };
  const tail: string[] = [];
  createInterface(go.stderr).on('line', (line) => {
    if (line.startsWith('go: downloading')) {
      count.downloaded += 1;
    } else {
      count.compiled += 1;
    }
    if (tail.push(line) > 20) {
      tail.shift();
    }
  });
  const elapsed = () => `${Math.round((performance.now() - started) / 1000)} s`;
  const progress = () =>
    say(`… ${elapsed()}: ${count.downloaded} modules fetched, ${count.compiled} packages compiled`);
  const ticker = setInterval(progress, 15_000);
  const code = await new Promise((resolve) => go.once('close', resolve).once('error', resolve));
  clearInterval(ticker);
  if (code !== 0) {
    throw new BuildError(`go build of ${product.name} ${version} failed:\n${tail.join('\n') || code}`);
  }
  say(`built in ${elapsed()}: ${count.compiled} packages`);
}

function goArguments({ sources }: Product, version: string, folder: string): string[] {
  const [major, minor] = version.split('.');
  const stamp = Object.entries({ gitVersion: `v${version}`, gitMajor: major, gitMinor: minor });
  const ldflags = [
    '-s',
    '-w',
    ...stamp.map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`),
  ];
  const how = ['-mod=readonly', '-trimpath', '-buildvcs=false', '-v', `-p=${availableParallelism()}`];
  return ['build', ...how, `-ldflags=${ldflags.join(' ')}`, '-o', `${folder}/`, ...sources];
}
