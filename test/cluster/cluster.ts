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
  /** The kubeconfig of a cluster-admin. */
  readonly kubeconfigPath: string;
  /** The version of the API server, without a leading `v`. */
  readonly version: string;
  /** To simulate outages; undefined for an existing cluster (TEST_KUBECONFIG). */
  readonly apiServer: ApiServer | undefined;
  /** Sends one request as cluster-admin. */
  readonly request: Request;
  /** Creates a namespace `PREFIX-RANDOM` with its ServiceAccount `default`. Returns its name. */
  createNamespace(prefix?: string): Promise<string>;
  /** Creates the ServiceAccount if it does not exist, and a kubeconfig file with its token (1 hour). Returns the path. */
  serviceAccountKubeconfig(namespace: string, name: string): Promise<string>;
  /** Stops the API server and removes all files. In an existing cluster, removes the namespaces. */
  stop(): Promise<void>;
}

/** The cluster responded with an error while a test was prepared. */
class ClusterError extends Error {
  readonly code = 'unexpected-response';
}

/**
 * Starts an API server, or connects to that of TEST_KUBECONFIG, to which `options` do not apply.
 * @throws if no API server is available (see getClusterAvailability), or if it does not start
 */
export async function startCluster(options: ApiServerOptions = {}): Promise<Cluster> {
  const existingKubeconfigPath = process.env['TEST_KUBECONFIG'];
  if (existingKubeconfigPath) {
    return connectCluster(existingKubeconfigPath, undefined);
  }
  const search = await obtainBinaries(process.env, (line) => process.stderr.write(`${line}\n`));
  if (search.binaries === undefined) {
    throw new ClusterError(search.reason);
  }
  const apiServer = await startApiServer(search.binaries, options);
  return connectCluster(apiServer.kubeconfigPath, apiServer);
}

async function connectCluster(kubeconfigPath: string, apiServer: ApiServer | undefined): Promise<Cluster> {
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
      const kubeconfig = buildKubeconfig(await readServer(kubeconfigPath), name, token);
      return writeKubeconfig(join(folder, `${namespace}-${name}.kubeconfig`), kubeconfig);
    },
    stop: async () => {
      const remaining = apiServer === undefined ? namespaces : [];
      await Promise.all(remaining.map((name) => request('DELETE', `/api/v1/namespaces/${name}`)));
      await apiServer?.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Creates an object, unless it exists. */
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
  const tokenRequest = {
    apiVersion: 'authentication.k8s.io/v1',
    kind: 'TokenRequest',
    spec: { expirationSeconds: 3600 },
  };
  const token = getField(getField(await createObject(request, path, tokenRequest), 'status'), 'token');
  if (typeof token === 'string') {
    return token;
  }
  throw new ClusterError(`POST ${path}: no token in the response`);
}

async function getVersion(request: Request): Promise<string> {
  const { status, body } = await request('GET', '/version');
  const version = getField(body, 'gitVersion');
  if (typeof version === 'string') {
    return version.replace(/^v/, '');
  }
  throw new ClusterError(`GET /version: ${status} ${JSON.stringify(body)}`);
}

async function readServer(kubeconfigPath: string): Promise<{ url: string; caPem: string | undefined }> {
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

function getField(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}
