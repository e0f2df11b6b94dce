// The Kubernetes versions that the tests can run against.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const folder = join(import.meta.dirname, 'kube');

/** The newest supported Kubernetes version, which the tests run against by default. */
const defaultVersion = '1.37.2';

/** `K8S_VERSION` names a version that has no go.mod under test/cluster/kube. */
class UnknownVersionError extends Error {
  readonly code = 'unknown-version';
}

/**
 * The Kubernetes version that `K8S_VERSION` names, without a leading `v`.
 * @throws {UnknownVersionError}
 */
export function getRequestedVersion(env: NodeJS.ProcessEnv): string {
  const version = (env['K8S_VERSION'] || defaultVersion).replace(/^v/, '');
  const known = readdirSync(folder).filter((name) => existsSync(join(folder, name, 'go.mod')));
  if (known.includes(version)) {
    return version;
  }
  throw new UnknownVersionError(
    `K8S_VERSION=${version} is not known here; known: ${known.sort().join(', ')}`,
  );
}

/** The Go module that builds a known version. */
export function getModuleFolder(version: string): string {
  return join(folder, version);
}

/**
 * A hash of all inputs of the build, which names its folder in the cache.
 * @param sources Go files that are built in addition to the module's packages
 */
export function hashModule(version: string, ...sources: readonly string[]): string {
  const hash = createHash('sha256');
  const files = ['go.mod', 'go.sum'].map((name) => join(getModuleFolder(version), name));
  for (const file of [...files, ...sources]) {
    hash.update(readFileSync(file));
  }
  return hash.digest('hex').slice(0, 12);
}
