// Checks whether this machine can build and run images.
import { runs } from '../../image/engine.ts';

/** Programs that building and running an image needs, with the names of their Debian packages. */
export const requiredImagePrograms = { builder: 'buildah', runtime: 'runc' } as const;

/** Why no image can be built and run on this machine; undefined if it can. */
export function findImageTestObstacle(env: NodeJS.ProcessEnv): string | undefined {
  if (process.getuid?.() !== 0) {
    return 'NO IMAGE: it is built and run as root, on Linux';
  }
  const missing = Object.values(requiredImagePrograms).filter(
    (program) => !runs(program, ['--version'], env),
  );
  if (missing.length === 0) {
    return undefined;
  }
  return `NO IMAGE: no ${missing.join(' and no ')} in PATH (on Debian: apt-get install ${missing.join(' ')})`;
}
