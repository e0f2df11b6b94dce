import { Agent, type RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import pLimit from 'p-limit';
import { productName } from '../../src/labels.ts';
import type { HostLifetimes } from '../../src/pull-secrets/hosts-annotation.ts';
import { createManifest } from '../../src/pull-secrets/ownership.ts';
import { send } from '../cluster/kube-request.ts';
import { generatePassword } from '../doubles/ecr/aws-responses.ts';
import { secretPath } from './pull-secret.ts';

/** Calls as the administrator, many at once on kept connections: a handshake for each would cost more than the call. */
export interface BulkClient {
  createNamespaces(names: readonly string[]): Promise<void>;
  /** Stores in each namespace a pull Secret with these hosts, as the program would have left it. */
  storeSecrets(namespaces: readonly string[], hosts: HostLifetimes): Promise<void>;
  request(method: string, path: string, body?: unknown, contentType?: string): Promise<unknown>;
  close(): void;
}

const maxConcurrentRequests = 16;

/** As long as a replica's own: who first made the Secret stays among its field managers. */
const creator = `${productName}-0a1b2c3d`;

/** For tests and measurements that need more namespaces than a cluster's own `createNamespace` is made for. */
export function createBulkClient(kubeconfigPath: string): BulkClient {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfigPath);
  const agent = new Agent({ keepAlive: true, maxSockets: maxConcurrentRequests });
  const limit = pLimit(maxConcurrentRequests);
  const request: BulkClient['request'] = async (method, path, body, contentType = 'application/json') => {
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    const url = `${config.getCurrentCluster()?.server}${path}`;
    const answer = await send(url, { ...options, method, agent }, body, { contentType });
    if (answer.status >= 300) {
      throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    }
    return answer.body;
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
 * The pull Secret that the program would have written for these hosts, to be applied.
 * @param serial gives other tokens than another one
 */
export function buildPullSecret(hosts: HostLifetimes, serial: number) {
  const auths = new Map(
    [...hosts.keys()].map((host) => [
      host,
      JSON.stringify({ auth: btoa(`AWS:${generatePassword('', host, 'crowd', serial)}`) }),
    ]),
  );
  const { labels, annotations, type, data } = createManifest({ hosts, requestedAt: new Map(), auths });
  const metadata = { name: 'ecr-pull-secrets', labels, annotations };
  return { apiVersion: 'v1', kind: 'Secret', metadata, type, data };
}
