import { spawnSync } from 'node:child_process';

/** What can build an image from a Dockerfile. */
export type Engine = 'buildah' | 'docker';

/** In the order in which they are taken, each with a call that fails where it cannot build, as docker without its daemon. */
const probes: readonly (readonly [Engine, string])[] = [
  ['buildah', '--version'],
  ['docker', 'info'],
];

/** The engine of this machine, if there is one. */
export function findEngine(env: NodeJS.ProcessEnv): Engine | undefined {
  return probes.find(([engine, probe]) => runs(engine, [probe], env))?.[0];
}

/** Whether a program of PATH is there and ends well with these arguments. */
export function runs(program: string, args: readonly string[], env: NodeJS.ProcessEnv): boolean {
  return spawnSync(program, args, { env, stdio: 'ignore' }).status === 0;
}

/** The arguments that build the Dockerfile of the working directory. Several platforms make one list of images. */
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

/** The arguments that write an image into a file, in the format of `docker save`. */
export function saveArguments(engine: Engine, tag: string, file: string): string[] {
  return engine === 'buildah'
    ? ['push', '--quiet', tag, `docker-archive:${file}`]
    : ['save', '--output', file, tag];
}
