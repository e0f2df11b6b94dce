// Checks whether this machine has the programs for a real pull.
import { findMissingPrograms } from '../support/executables.ts';

/** Programs that a real pull requires, by their names in Debian. */
export const requiredPullPrograms = { client: 'skopeo', registry: 'docker-registry' };

/** Why a real pull is not possible; undefined if PATH contains all programs. */
export function findPullTestObstacle(env: NodeJS.ProcessEnv): string | undefined {
  const missing = findMissingPrograms(Object.values(requiredPullPrograms), env);
  if (missing.length === 0) {
    return undefined;
  }
  return `NO REAL PULL: no ${missing.join(' and no ')} in PATH (on Debian: apt-get install ${missing.join(' ')})`;
}
