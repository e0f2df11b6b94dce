// Finds kube-apiserver and etcd, or builds them into the cache.
import { execFileSync } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { isExecutable } from '../support/executables.ts';
import { type PrintLine, type Product, tryToBuildOnce } from './go-build.ts';
import { getRequestedVersion, hashModule } from './kubernetes-versions.ts';

/** The programs of an API server. */
export interface Binaries {
  readonly kubeApiServer: string;
  readonly etcd: string;
  /** The version that kube-apiserver prints, without a leading `v`. */
  readonly version: string;
  readonly from: 'KUBEBUILDER_ASSETS' | 'the cache' | 'a build';
}

/** The programs, or the reason why there are none. `buildable` is true if Go can build them. */
export type Search =
  | { readonly binaries: Binaries }
  | { readonly binaries: undefined; readonly reason: string; readonly buildable: boolean };

const controlPlane: Product = {
  name: 'kube-apiserver and etcd of Kubernetes',
  buildTime: '3 to 8 minutes on 2 cores without a build cache',
  sources: ['go.etcd.io/etcd/server/v3', 'k8s.io/kubernetes/cmd/kube-apiserver'],
  renames: { server: 'etcd' }, // Go names a program after the last part of its package path.
};

/** KUBEBUILDER_ASSETS contains another version than K8S_VERSION names, so one of the two is a mistake. */
class VersionMismatchError extends Error {
  readonly code = 'version-mismatch';
}

/**
 * Looks for kube-apiserver and etcd in the folder KUBEBUILDER_ASSETS, then in the user's cache. Builds nothing.
 * @throws {UnknownVersionError | VersionMismatchError} if the environment names an unknown version or a wrong folder
 */
export function findBinaries(env: NodeJS.ProcessEnv): Search {
  const assets = env['KUBEBUILDER_ASSETS'];
  if (assets && hasPrograms(assets)) {
    return { binaries: readAssets(assets, env['K8S_VERSION']) };
  }
  const version = getRequestedVersion(env);
  const cached = getCacheFolder(env, version);
  if (hasPrograms(cached)) {
    return { binaries: { ...getProgramPaths(cached), version, from: 'the cache' } };
  }
  const buildable = hasGo(env);
  const missing = assets
    ? `no kube-apiserver and etcd in KUBEBUILDER_ASSETS (${assets}) nor`
    : 'no KUBEBUILDER_ASSETS, nothing';
  const reason = `${missing} in ${cached}${buildable ? '' : ', and no Go to build them with'}`;
  return { binaries: undefined, reason, buildable };
}

/**
 * Like findBinaries, but builds missing programs into the cache. A failed build is returned as the reason, not thrown.
 * @param printLine called with progress messages if it takes long
 */
export async function obtainBinaries(env: NodeJS.ProcessEnv, printLine: PrintLine): Promise<Search> {
  const search = findBinaries(env);
  if (search.binaries !== undefined || !search.buildable) {
    return search;
  }
  const version = getRequestedVersion(env);
  const target = getCacheFolder(env, version);
  const isPresent = () => hasPrograms(target);
  const reason = await tryToBuildOnce({ product: controlPlane, version, target, isPresent, env, printLine });
  if (reason !== undefined) {
    return { binaries: undefined, reason, buildable: false };
  }
  return { binaries: { ...getProgramPaths(target), version, from: 'a build' } };
}

function getCacheFolder(env: NodeJS.ProcessEnv, version: string): string {
  return join(getUserCache(env), 'kube', `${version}-${hashModule(version)}`);
}

/** The folder that keeps built programs between runs. */
export function getUserCache(env: NodeJS.ProcessEnv): string {
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'ecr-pull-secrets');
}

function getProgramPaths(folder: string) {
  return { kubeApiServer: join(folder, 'kube-apiserver'), etcd: join(folder, 'etcd') };
}

function hasPrograms(folder: string): boolean {
  return Object.values(getProgramPaths(folder)).every(isExecutable);
}

function readAssets(folder: string, requestedVersion: string | undefined): Binaries {
  const { kubeApiServer, etcd } = getProgramPaths(folder);
  const output = execFileSync(kubeApiServer, ['--version'], { encoding: 'utf8' });
  const version = output.trim().replace(/^Kubernetes v/, '');
  if (requestedVersion && requestedVersion.replace(/^v/, '') !== version) {
    throw new VersionMismatchError(
      `K8S_VERSION=${requestedVersion}, but KUBEBUILDER_ASSETS (${folder}) contains ${version}`,
    );
  }
  return { kubeApiServer, etcd, version, from: 'KUBEBUILDER_ASSETS' };
}

/** Whether Go is in PATH. */
export function hasGo(env: NodeJS.ProcessEnv): boolean {
  try {
    execFileSync('go', ['version'], { stdio: 'ignore', env });
    return true;
  } catch {
    return false;
  }
}
