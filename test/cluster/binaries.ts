// Finds kube-apiserver and etcd, or builds them into the cache.
import { execFileSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { BuildError, buildOnce, type PrintLine, type Product } from './go-build.ts';
import { getRequestedVersion, hashModule } from './kubernetes-versions.ts';

/** Programs that make up an API server. */
export interface Binaries {
  readonly kubeApiServer: string;
  readonly etcd: string;
  /** What kube-apiserver says it is, without a leading `v`. */
  readonly version: string;
  readonly from: 'KUBEBUILDER_ASSETS' | 'the cache' | 'a build';
}

/** Without a `binaries`, there are none, for `reason`; `buildable` says whether Go could make them. */
export type Search =
  | { readonly binaries: Binaries }
  | { readonly binaries: undefined; readonly reason: string; readonly buildable: boolean };

const controlPlane: Product = {
  name: 'kube-apiserver and etcd',
  effort: '3 to 8 minutes from nothing on 2 cores, by how busy they are',
  sources: ['go.etcd.io/etcd/server/v3', 'k8s.io/kubernetes/cmd/kube-apiserver'],
  renamed: { server: 'etcd' }, // The last part of etcd's package path is its name.
};

/** KUBEBUILDER_ASSETS holds another version than K8S_VERSION asks for: one of the two is a mistake. */
class VersionMismatchError extends Error {
  readonly code = 'version-mismatch';
}

/**
 * Looks for kube-apiserver and etcd: the folder KUBEBUILDER_ASSETS, then the user's cache. Builds nothing.
 * @throws {UnknownVersionError | VersionMismatchError} the environment asks for what cannot be
 */
export function findBinaries(env: NodeJS.ProcessEnv): Search {
  const assets = env['KUBEBUILDER_ASSETS'];
  if (assets && complete(assets)) {
    return { binaries: fromAssets(assets, env['K8S_VERSION']) };
  }
  const version = getRequestedVersion(env);
  const cached = cacheFolder(env, version);
  if (complete(cached)) {
    return { binaries: { ...programs(cached), version, from: 'the cache' } };
  }
  const buildable = hasGo(env);
  const missing = assets
    ? `no kube-apiserver and etcd in KUBEBUILDER_ASSETS (${assets}) nor`
    : 'no KUBEBUILDER_ASSETS, nothing';
  const reason = `${missing} in ${cached}${buildable ? '' : ', and no Go to build them with'}`;
  return { binaries: undefined, reason, buildable };
}

/**
 * As findBinaries, and builds into the cache what is not there. A failed build is a reason, not an error.
 * @param say called with progress messages if it takes long
 */
export async function obtainBinaries(env: NodeJS.ProcessEnv, say: PrintLine): Promise<Search> {
  const search = findBinaries(env);
  if (search.binaries !== undefined || !search.buildable) {
    return search;
  }
  const version = getRequestedVersion(env);
  const target = cacheFolder(env, version);
  try {
    await buildOnce({ product: controlPlane, version, target, present: () => complete(target), env, say });
  } catch (error) {
    if (!(error instanceof BuildError)) {
      throw error;
    }
    return { binaries: undefined, reason: error.message, buildable: false };
  }
  return { binaries: { ...programs(target), version, from: 'a build' } };
}

function cacheFolder(env: NodeJS.ProcessEnv, version: string): string {
  return join(userCache(env), 'kube', `${version}-${hashModule(version)}`);
}

/** Where built programs are kept between runs. */
export function userCache(env: NodeJS.ProcessEnv): string {
  return join(env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'ecr-pull-secrets');
}

function programs(folder: string) {
  return { kubeApiServer: join(folder, 'kube-apiserver'), etcd: join(folder, 'etcd') };
}

function complete(folder: string): boolean {
  try {
    for (const program of Object.values(programs(folder))) {
      accessSync(program, constants.X_OK);
    }
    return true;
  } catch {
    return false;
  }
}

function fromAssets(folder: string, asked: string | undefined): Binaries {
  const { kubeApiServer, etcd } = programs(folder);
  const said = execFileSync(kubeApiServer, ['--version'], { encoding: 'utf8' });
  const version = said.trim().replace(/^Kubernetes v/, '');
  if (asked && asked.replace(/^v/, '') !== version) {
    throw new VersionMismatchError(
      `K8S_VERSION=${asked}, but KUBEBUILDER_ASSETS (${folder}) holds ${version}`,
    );
  }
  return { kubeApiServer, etcd, version, from: 'KUBEBUILDER_ASSETS' };
}

/** Whether PATH has a Go to build with. */
export function hasGo(env: NodeJS.ProcessEnv): boolean {
  try {
    execFileSync('go', ['version'], { stdio: 'ignore', env });
    return true;
  } catch {
    return false;
  }
}
