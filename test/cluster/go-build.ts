// Builds programs with Go, once per machine.
import { spawn } from 'node:child_process';
import { link, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { killOnExit } from './child-process.ts';
import { getModuleFolder } from './kubernetes-versions.ts';

/** Prints one line of progress, which has no line break at its end. */
export type PrintLine = (line: string) => void;

/** A Go build failed. The message contains the last lines of Go's output. */
class BuildError extends Error {
  readonly code = 'build-failed';
}

/** What to build with the module of a Kubernetes version. */
export interface Product {
  /** The name in messages. */
  readonly name: string;
  /** How long the build takes, for messages. */
  readonly buildTime: string;
  /** Packages of the module or its dependencies, or the path of one Go file. */
  readonly sources: readonly string[];
  /** Names that Go gives to programs → their new names. */
  readonly renames: Readonly<Record<string, string>>;
}

export interface BuildOptions {
  readonly product: Product;
  /** The version in messages, and of Kubernetes in the programs. */
  readonly version: string;
  /** The folder of the Go module. Default: the module of `version` in test/cluster/kube. */
  readonly moduleFolder?: string;
  /** The folder to create. It appears only when it is complete. */
  readonly target: string;
  /** Whether `target` is complete. */
  readonly isPresent: () => boolean;
  /** The environment of Go: PATH, its caches and proxies. */
  readonly env: NodeJS.ProcessEnv;
  readonly printLine: PrintLine;
}

/**
 * Builds programs with Go. If another process is building them, waits for that process.
 * @throws {BuildError}
 */
async function buildOnce(options: BuildOptions): Promise<void> {
  const { product, version, target, isPresent, printLine } = options;
  await mkdir(dirname(target), { recursive: true });
  const lock = `${target}.lock`;
  let hasReported = false;
  while (!isPresent()) {
    if (await tryLock(lock)) {
      try {
        if (!isPresent()) {
          await build(options);
        }
      } finally {
        await rm(lock, { force: true });
      }
      return;
    }
    if (!hasReported) {
      printLine(`another process builds ${product.name} ${version}; waiting for it (${lock})`);
    }
    hasReported = true;
    await pause(250);
  }
}

/**
 * Like {@link buildOnce}, but a failed build is returned as the reason, not thrown.
 * @returns the reason why there are no programs; undefined: they are built
 */
export async function tryToBuildOnce(options: BuildOptions): Promise<string | undefined> {
  try {
    await buildOnce(options);
    return undefined;
  } catch (error) {
    if (error instanceof BuildError) {
      return error.message;
    }
    throw error;
  }
}

// The lock only avoids double work. Two builders are harmless, because build() renames a complete folder.
async function tryLock(lock: string): Promise<boolean> {
  const ownFile = `${lock}.${process.pid}`;
  await writeFile(ownFile, String(process.pid));
  try {
    await link(ownFile, lock); // Unlike a file that is created and then written, a link never exists without the pid.
    return true;
  } catch {
    const holder = Number(await readFile(lock, 'utf8').catch(() => ''));
    if (holder > 0 && !isProcessAlive(holder)) {
      await rm(lock, { force: true });
    }
    return false;
  } finally {
    await rm(ownFile, { force: true });
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

async function build(options: BuildOptions): Promise<void> {
  const { product, version, target, printLine } = options;
  printLine(`building ${product.name} ${version} with Go into ${target}`);
  printLine(`(takes ${product.buildTime}; the result is cached)`);
  const folder = await mkdtemp(`${target}.partial-`);
  try {
    await compile(options, folder);
    for (const [from, to] of Object.entries(product.renames)) {
      await rename(join(folder, from), join(folder, to));
    }
    await rm(target, { recursive: true, force: true });
    await rename(folder, target);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function compile(
  { product, version, moduleFolder = getModuleFolder(version), env, printLine }: BuildOptions,
  folder: string,
): Promise<void> {
  const started = performance.now();
  const go = spawn('go', buildGoArguments(product, version, folder), {
    cwd: moduleFolder,
    env: { ...env, GOWORK: 'off', CGO_ENABLED: '0' }, // Never needs a C compiler.
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
    printLine(`… ${elapsed()}: ${count.downloaded} modules fetched, ${count.compiled} packages compiled`);
  const ticker = setInterval(progress, 15_000);
  const code = await new Promise((resolve) => go.once('close', resolve).once('error', resolve));
  clearInterval(ticker);
  if (code !== 0) {
    throw new BuildError(`go build of ${product.name} ${version} failed:\n${tail.join('\n') || code}`);
  }
  printLine(`built in ${elapsed()}: ${count.compiled} packages`);
}

function buildGoArguments({ sources }: Product, version: string, folder: string): string[] {
  const [major, minor] = version.split('.');
  const stamp = Object.entries({ gitVersion: `v${version}`, gitMajor: major, gitMinor: minor });
  const ldflags = [
    '-s',
    '-w',
    ...stamp.map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`),
  ];
  const flags = ['-mod=readonly', '-trimpath', '-buildvcs=false', '-v', `-p=${availableParallelism()}`];
  return ['build', ...flags, `-ldflags=${ldflags.join(' ')}`, '-o', `${folder}/`, ...sources];
}
