// A real Kubernetes API for a suite: a new one, or that of TEST_KUBECONFIG.
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KubeConfig } from '@kubernetes/client-node';
import { type ApiServer, type ApiServerOptions, startApiServer } from './api-server.ts';
import { obtainBinaries } from './binaries.ts';
import { createRequest, type Request } from './kube-request.ts';
import { buildKubeconfig, writeKubeconfig } from './kubeconfig.ts';

/** A real Kubernetes API for a suite: a new one, or that of TEST_KUBECONFIG. */
export interface Cluster {
  /** For a cluster-admin. */
  readonly kubeconfigPath: string;
  /** Of its API server, without a leading `v`. */
  readonly version: string;
  /** For outages; undefined for an existing cluster (TEST_KUBECONFIG). */
  readonly apiServer: ApiServer | undefined;
  /** One call as cluster-admin. */
  readonly request: Request;
  /** Makes a namespace `PREFIX-RANDOM` with its `default` ServiceAccount; gives its name. */
  createNamespace(prefix?: string): Promise<string>;
  /** Makes the ServiceAccount if need be, and a kubeconfig file with a token of its (1 hour); gives the path. */
  serviceAccountKubeconfig(namespace: string, name: string): Promise<string>;
  /** Stops the API server and removes all files. In an existing cluster, removes the namespaces. */
  stop(): Promise<void>;
}

/** The cluster answered something else than a test's preparation needs. */
class ClusterError extends Error {
  readonly code = 'unexpected-answer';
}

/**
 * Starts an API server, or goes to the one of TEST_KUBECONFIG; `options` are for the former only.
 * @throws where there is none to be had (ask clusterAvailability before), or it does not start
 */
export async function startCluster(options: ApiServerOptions = {}): Promise<Cluster> {
  const given = process.env['TEST_KUBECONFIG'];
  if (given) {
    return clusterAt(given, undefined);
  }
  const search = await obtainBinaries(process.env, (line) => process.stderr.write(`${line}\n`));
  if (search.binaries === undefined) {
    throw new ClusterError(search.reason);
  }
  const apiServer = await startApiServer(search.binaries, options);
  return clusterAt(apiServer.kubeconfigPath, apiServer);
}

async function clusterAt(kubeconfigPath: string, apiServer: ApiServer | undefined): Promise<Cluster> {
  const request = createRequest(kubeconfigPath);
  const folder = await mkdtemp(join(apiServer?.folder ?? tmpdir(), 'cluster-'));
  const namespaces: string[] = [];
  return {
    ...{ kubeconfigPath, apiServer, request, version: apiServer?.version ?? (await getVersion(request)) },
    createNamespace: async (prefix = 'test') => {
      const name = `${prefix}-${randomBytes(4).toString('hex')}`;
      await createObject(request, '/api/v1/namespaces', {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name },
      });
      namespaces.push(name);
      await createServiceAccount(request, name, 'default');
      return name;
    },
    serviceAccountKubeconfig: async (namespace, name) => {
      await createServiceAccount(request, namespace, name);
      const token = await requestToken(request, namespace, name);
      const kubeconfig = buildKubeconfig(await serverOf(kubeconfigPath), name, token);
      return writeKubeconfig(join(folder, `${namespace}-${name}.kubeconfig`), kubeconfig);
    },
    stop: async () => {
      const left = apiServer === undefined ? namespaces : [];
      await Promise.all(left.map((name) => request('DELETE', `/api/v1/namespaces/${name}`)));
      await apiServer?.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Creates any object; one that is there already is as good. */
async function createObject(request: Request, path: string, object: object): Promise<unknown> {
  const { status, body } = await request('POST', path, object);
  if (status === 201 || status === 409) {
    return body;
  }
  throw new ClusterError(`POST ${path}: ${status} ${JSON.stringify(body)}`);
}

async function createServiceAccount(request: Request, namespace: string, name: string): Promise<void> {
  const account = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name } };
  await createObject(request, `/api/v1/namespaces/${namespace}/serviceaccounts`, account);
}

async function requestToken(request: Request, namespace: string, name: string): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
  const ask = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: 3600 },
  };
  const token = at(at(await createObject(request, path, ask), 'status'), 'token');
  if (typeof token === 'string') {
    return token;
  }
  throw new ClusterError(`POST ${path}: no token in the answer`);
}

async function getVersion(request: Request): Promise<string> {
  const { status, body } = await request('GET', '/version');
  const version = at(body, 'gitVersion');
  if (typeof version === 'string') {
    return version.replace(/^v/, '');
  }
  throw new ClusterError(`GET /version: ${status} ${JSON.stringify(body)}`);
}

async function serverOf(kubeconfigPath: string): Promise<{ url: string; caPem: string | undefined }> {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfigPath);
  const cluster = config.getCurrentCluster();
  if (cluster === null) {
    throw new ClusterError(`${kubeconfigPath} has no current cluster`);
  }
  const { server, caData, caFile } = cluster;
  if (caData !== undefined) {
    return { url: server, caPem: Buffer.from(caData, 'base64').toString() };
  }
  return { url: server, caPem: caFile === undefined ? undefined : await readFile(caFile, 'utf8') };
}

function at(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}
