// Reads the image's command line and environment and the chart's memory limit, and enforces the limit.
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually } from '../test/support/eventually.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** How the image starts the program. */
export interface ImageLaunch {
  /** Options of Node, without the program's file. */
  readonly nodeOptions: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** Reads the ENTRYPOINT and the ENV instructions of the Dockerfile's last stage. */
export function imageLaunch(): ImageLaunch {
  const lastStage =
    readFileSync(join(root, 'Dockerfile'), 'utf8')
      .split(/^FROM .*\n/m)
      .at(-1) ?? '';
  const entrypoint: string[] = JSON.parse(/^ENTRYPOINT (\[.*\])$/m.exec(lastStage)?.[1] ?? '[]');
  const [node, ...rest] = entrypoint;
  const file = rest.pop();
  if (!node?.endsWith('/node') || !file?.endsWith('.mjs')) {
    throw new Error('the ENTRYPOINT of the Dockerfile is not [NODE, OPTIONS…, FILE.mjs]');
  }
  const variables = [...lastStage.matchAll(/^ENV (.*)$/gm)].flatMap(([, line = '']) => line.split(/\s+/));
  return {
    nodeOptions: rest,
    environment: Object.fromEntries(
      variables.map((variable) => {
        const [name = '', ...value] = variable.split('=');
        return [name, value.join('=')];
      }),
    ),
  };
}

/** The memory limit of the chart's main container, in bytes. */
export function chartMemoryLimit(): number {
  const values = readFileSync(join(root, 'charts/ecr-pull-secrets/values.yaml'), 'utf8');
  const mebibytes = /^resources:\n(?: .*\n)*? {2}limits:\n {4}memory: (\d+)Mi$/m.exec(values)?.[1];
  if (mebibytes === undefined) {
    throw new Error('the memory limit is not in values.yaml as resources.limits.memory in Mi');
  }
  return Number(mebibytes) * 1024 * 1024;
}

/** Limits the memory of one process and counts the kills. */
export interface MemoryLimit {
  readonly kind: 'cgroup' | 'polling';
  /** Prefix of a command line to which the limit applies from the start. */
  readonly prefix: readonly string[];
  /** Memory that counts against the limit, in bytes: the working set as the kubelet reads it, or else resident memory. */
  usedBytes(pid: number): number;
  /** How often the kernel killed a process because of the limit. Always 0 for `polling`. */
  kills(): number;
  /** Removes the cgroup. Its process must have exited. */
  remove(): Promise<void>;
}

/** Joins the cgroup and executes the command in the same process, so that the process ID stays the same. */
const joinScript = 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"';

/**
 * Creates a memory limit as a child of this process's own cgroup in the v1 `memory` hierarchy. If that is not possible,
 * `kind` is `polling`, and the caller has to kill the process when it uses more than the limit.
 */
export function memoryLimit(bytes: number): MemoryLimit {
  const group = createGroup(bytes);
  if (group === undefined) {
    return {
      kind: 'polling',
      prefix: [],
      usedBytes: (pid) => 1024 * numberIn(`/proc/${pid}/status`, /^VmRSS:\s+(\d+) kB$/m),
      kills: () => 0,
      remove: async () => undefined,
    };
  }
  const file = (name: string) => join(group, name);
  return {
    kind: 'cgroup',
    prefix: ['/bin/sh', '-c', joinScript, 'sh', group],
    usedBytes: () =>
      numberIn(file('memory.usage_in_bytes'), /(\d+)/) -
      numberIn(file('memory.stat'), /^total_inactive_file (\d+)$/m),
    kills: () => numberIn(file('memory.oom_control'), /^oom_kill (\d+)$/m),
    remove: async () => {
      await eventually('the cgroup is removed', () => removeGroup(group));
    },
  };
}

/** Returns the first group of a match in a file of the kernel, or 0 if the process and its file no longer exist. */
function numberIn(path: string, pattern: RegExp): number {
  return existsSync(path) ? Number(pattern.exec(readFileSync(path, 'utf8'))?.[1] ?? 0) : 0;
}

function createGroup(bytes: number): string | undefined {
  const own = /^\d+:memory:(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1];
  const parent = `/sys/fs/cgroup/memory${own}`;
  if (own === undefined || !existsSync(join(parent, 'memory.limit_in_bytes'))) {
    return undefined;
  }
  const group = join(parent, `bench-hostile-${randomBytes(4).toString('hex')}`);
  try {
    mkdirSync(group);
    writeFileSync(join(group, 'memory.limit_in_bytes'), String(bytes));
  } catch {
    if (existsSync(group)) {
      removeGroup(group);
    }
    return undefined; // Not root, or a read-only mount.
  }
  // A kernel without swap accounting has no such file; a machine without swap does not need it.
  const withSwap = join(group, 'memory.memsw.limit_in_bytes');
  if (existsSync(withSwap)) {
    writeFileSync(withSwap, String(bytes));
  }
  return group;
}

/** Throws while the cgroup has a process, and for a short time after. */
function removeGroup(group: string): boolean {
  rmdirSync(group);
  return true;
}
