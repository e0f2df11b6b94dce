// What the image and the chart give the program: its command line, its environment and its memory limit.
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

/** Limits the memory of one process and tells whether the limit killed it. */
export interface MemoryLimit {
  readonly kind: 'cgroup' | 'polling';
  /** What to put before a command line so that the limit holds for it from the start. */
  readonly prefix: readonly string[];
  /** What counts against the limit now, in bytes: the working set, as the kubelet reads it; else resident memory. */
  usedBytes(pid: number): number;
  /** How often the kernel killed a process because of the limit. Always 0 for `polling`. */
  kills(): number;
  /** Removes the group. Its process must have exited. */
  remove(): Promise<void>;
}

/** Joins the group and becomes the command, so that the process ID stays the same. */
const joinScript = 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"';

/**
 * A memory limit of the kernel, in a child of this process's own group of the v1 `memory` hierarchy. Where no such group
 * can be made, `kind` is `polling`, and the caller has to kill the process when it uses more than the limit.
 */
export function memoryLimit(bytes: number): MemoryLimit {
  const group = makeGroup(bytes);
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
      await eventually('the group is removed', () => removeGroup(group));
    },
  };
}

/** The first group of a match in a file, which the kernel makes; 0 where the file is gone with its process. */
function numberIn(path: string, pattern: RegExp): number {
  return existsSync(path) ? Number(pattern.exec(readFileSync(path, 'utf8'))?.[1] ?? 0) : 0;
}

function makeGroup(bytes: number): string | undefined {
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
    if (existsSync(group)) removeGroup(group);
    return undefined; // not root, or a read-only mount
  }
  // A kernel without swap accounting has no such file; a machine without swap does not need it.
  const withSwap = join(group, 'memory.memsw.limit_in_bytes');
  if (existsSync(withSwap)) writeFileSync(withSwap, String(bytes));
  return group;
}

/** The kernel refuses as long as the group has a process, and for a moment after. */
function removeGroup(group: string): boolean {
  rmdirSync(group);
  return true;
}
