// Finds a container engine on this machine, and its arguments to build and save an image.
import { spawnSync } from 'node:child_process';

/** What can build an image from a Dockerfile. */
export type Engine = 'buildah' | 'docker';

/** In order of preference, each with a command that fails if the engine cannot build, for example docker without its daemon. */
const probes: readonly (readonly [Engine, string])[] = [
  ['buildah', '--version'],
  ['docker', 'info'],
];

/** The engine of this machine; undefined if there is none. */
export function findEngine(env: NodeJS.ProcessEnv): Engine | undefined {
  return probes.find(([engine, probe]) => runs(engine, [probe], env))?.[0];
}

/** Whether a program is in PATH and exits with 0 with these arguments. */
export function runs(program: string, args: readonly string[], env: NodeJS.ProcessEnv): boolean {
  return spawnSync(program, args, { env, stdio: 'ignore' }).status === 0;
}

/** The arguments that build the Dockerfile of the working directory. Several platforms result in one image index. */
export function buildArguments(engine: Engine, tag: string, platform: string | undefined): string[] {
  const several = platform?.includes(',') ?? false;
  return [
    'build',
    engine === 'buildah' && several ? '--manifest' : '--tag',
    tag,
    ...(platform === undefined ? [] : ['--platform', platform]),
    '.',
  ];
}

/** The arguments that save an image to a file in the format of `docker save`. */
export function saveArguments(engine: Engine, tag: string, file: string): string[] {
  return engine === 'buildah'
    ? ['push', '--quiet', tag, `docker-archive:${file}`]
    : ['save', '--output', file, tag];
}
