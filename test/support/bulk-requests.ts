// Sends many requests at once to an API server, for tests with many namespaces.
import { Agent, type RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import pLimit from 'p-limit';
import { productName } from '../../src/labels.ts';
import type { HostLifetimes } from '../../src/pull-secrets/hosts-annotation.ts';
import { createManifest } from '../../src/pull-secrets/ownership.ts';
import { send } from '../cluster/kube-request.ts';
import { generatePassword } from '../doubles/ecr/aws-responses.ts';
import { secretPath } from './pull-secret.ts';

/** Sends many requests at once as the administrator, on keep-alive connections, because a handshake takes longer than a request. */
export interface BulkClient {
  createNamespaces(names: readonly string[]): Promise<void>;
  /** Stores in each namespace a pull Secret with these hosts, as the program writes it. */
  storeSecrets(namespaces: readonly string[], hosts: HostLifetimes): Promise<void>;
  request(method: string, path: string, body?: unknown, contentType?: string): Promise<unknown>;
  close(): void;
}

const maxConcurrentRequests = 16;

/** As long as the field manager of a replica, because the creator of a Secret stays among its field managers. */
const creator = `${productName}-0a1b2c3d`;

/** For tests and benchmarks that need more namespaces than `createNamespace` of a cluster can create in time. */
export function createBulkClient(kubeconfigPath: string): BulkClient {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfigPath);
  const agent = new Agent({ keepAlive: true, maxSockets: maxConcurrentRequests });
  const limit = pLimit(maxConcurrentRequests);
  const request: BulkClient['request'] = async (method, path, body, contentType = 'application/json') => {
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    const url = `${config.getCurrentCluster()?.server}${path}`;
    const response = await send(url, { ...options, method, agent }, body, { contentType });
    if (response.status >= 300) {
      throw new Error(`${method} ${path}: ${response.status} ${JSON.stringify(response.body)}`);
    }
    return response.body;
  };
  const apply = (namespace: string, manager: string, content: object) =>
    request(
      'PATCH',
      `${secretPath(namespace)}?fieldManager=${manager}&force=true`,
      content,
      'application/apply-patch+yaml',
    );
  return {
    request,
    createNamespaces: async (names) => {
      await limit.map(names, (name) =>
        request('POST', '/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } }),
      );
    },
    storeSecrets: async (namespaces, hosts) => {
      const [first, renewed] = [buildPullSecret(hosts, 1), buildPullSecret(hosts, 2)];
      await limit.map(namespaces, async (namespace) => {
        await apply(namespace, creator, first);
        await apply(namespace, productName, renewed);
      });
    },
    close: () => agent.destroy(),
  };
}

/**
 * Builds the pull Secret that the program would apply for these hosts.
 * @param serial different values result in different tokens
 */
export function buildPullSecret(hosts: HostLifetimes, serial: number) {
  const auths = new Map(
    [...hosts.keys()].map((host) => [
      host,
      JSON.stringify({ auth: btoa(`AWS:${generatePassword('', host, 'example', serial)}`) }),
    ]),
  );
  const { labels, annotations, type, data } = createManifest({ hosts, requestedAt: new Map(), auths });
  const metadata = { name: 'ecr-pull-secrets', labels, annotations };
  return { apiVersion: 'v1', kind: 'Secret', metadata, type, data };
}
