import { delimiter, join } from 'node:path';
import { isExecutable } from '../support/executables.ts';

/** What a real pull takes, by the names that Debian gives to programs and packages. */
export const requiredPullPrograms = { client: 'skopeo', registry: 'docker-registry' };

/** Why there can be no real pull; undefined where PATH has all that it takes. */
export function findPullTestObstacle(env: NodeJS.ProcessEnv): string | undefined {
  const folders = (env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const missing = Object.values(requiredPullPrograms).filter(
    (name) => !folders.some((folder) => isExecutable(join(folder, name))),
  );
  if (missing.length === 0) {
    return undefined;
  }
  return `NO REAL PULL: no ${missing.join(' and no ')} in PATH (on Debian: apt-get install ${missing.join(' ')})`;
}
