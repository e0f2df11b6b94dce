// Runs an image in a container as the chart does.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ProcessOutput, runProgram } from '../support/run-program.ts';
import { requiredImagePrograms } from './image-tools.ts';
import type { TestImage } from './test-image.ts';

export interface Container {
  /** The pid of the program in the PID namespace of this machine. */
  pid(): number;
  /** The output of the container so far, of both streams. */
  output(): string;
  /** Runs node in the container, with another user and flags if given, and returns its output. */
  runNode(script: string, user?: string, flags?: readonly string[]): string;
  /** Runs a command in the container as `kubectl exec` does, and returns its output. */
  run(command: readonly string[]): Promise<ProcessOutput>;
  signal(signal: NodeJS.Signals): void;
  /** Resolves with the exit code. */
  readonly exited: Promise<number | null>;
  /** Kills the container if it still runs. */
  kill(): void;
}

/** The chart's memory limit, in bytes. */
export const memoryLimitBytes = 256 * 1024 * 1024;

/** A folder of this machine that is mounted read-only. */
interface Mount {
  readonly source: string;
  readonly destination: string;
}

interface ContainerOptions {
  readonly mounts: readonly Mount[];
  readonly environment: Record<string, string>;
  /** `UID:GID` instead of the user of the image. */
  readonly user?: string;
  /** Further groups of the user, such as the group of the pod's volumes. */
  readonly groups?: readonly number[];
}

/**
 * Runs an image as the chart does: with its entry point and user, a read-only root file system, no capabilities and no
 * privilege escalation. It is PID 1 in its own PID namespace, and uses the network of this machine.
 * @param folder for the files of the container; must not exist
 */
export function startContainer(
  folder: string,
  { rootfs, config }: TestImage,
  { user: ownUser = config.User, ...options }: ContainerOptions,
): Container {
  const bundle = join(folder, 'bundle');
  mkdirSync(bundle, { recursive: true });
  const spec = buildRuntimeSpec(rootfs, config, { user: ownUser, ...options });
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(spec));
  const state = join(folder, 'state');
  const pidFile = join(folder, 'pid');
  const outputFile = join(folder, 'output');
  const output = openSync(outputFile, 'a');
  const global = ['--root', state];
  const child = spawn(
    requiredImagePrograms.runtime,
    [...global, 'run', '--bundle', bundle, '--pid-file', pidFile, 'test'],
    {
      stdio: ['ignore', output, output],
    },
  );
  closeSync(output);
  const runc = (...args: string[]) =>
    execFileSync(requiredImagePrograms.runtime, [...global, ...args], { encoding: 'utf8' });
  // Also called at exit, to remove the container of a failed test.
  const kill = () =>
    spawnSync(requiredImagePrograms.runtime, [...global, 'delete', '--force', 'test'], { stdio: 'ignore' });
  process.once('exit', kill);
  const exited = once(child, 'exit').then(([code]) => {
    process.off('exit', kill);
    return typeof code === 'number' ? code : null;
  });
  return {
    pid: () => Number(readFileSync(pidFile, 'utf8')),
    output: () => readFileSync(outputFile, 'utf8'),
    runNode: (script, user = ownUser, flags = []) =>
      runc('exec', '--user', user, 'test', '/nodejs/bin/node', ...flags, '-e', script),
    run: (command) => {
      const args = [...global, 'exec', '--user', ownUser, 'test', ...command];
      return runProgram(requiredImagePrograms.runtime, args, {});
    },
    signal: (signal) => process.kill(Number(readFileSync(pidFile, 'utf8')), signal),
    exited,
    kill,
  };
}

function buildRuntimeSpec(
  rootfs: string,
  config: TestImage['config'],
  { mounts, environment, user, groups = [] }: ContainerOptions & { readonly user: string },
) {
  const [uid, gid] = user.split(':').map(Number);
  return {
    ociVersion: '1.0.0',
    root: { path: rootfs, readonly: true },
    process: {
      user: { uid, gid, additionalGids: groups },
      cwd: config.WorkingDir,
      args: [...config.Entrypoint, ...config.Cmd],
      env: [...config.Env, ...Object.entries(environment).map(([name, value]) => `${name}=${value}`)],
      capabilities: { bounding: [], effective: [], permitted: [] },
      noNewPrivileges: true,
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
      { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['ro'] },
      ...mounts.map((mount) => ({ ...mount, type: 'bind', options: ['rbind', 'ro'] })),
    ],
    linux: {
      resources: { memory: { limit: memoryLimitBytes } },
      namespaces: [{ type: 'pid' }, { type: 'mount' }, { type: 'ipc' }, { type: 'uts' }],
    },
  };
}
