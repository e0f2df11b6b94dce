// Creates pods at a constant rate, for tests of a busy cluster.
import { Agent, type RequestOptions } from 'node:https';
import { setTimeout as wait } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import pLimit from 'p-limit';
import { send } from '../cluster/kube-request.ts';
import { type Admitted, createPod, podWith } from './pods.ts';
import type { TestApiServer } from './test-api-server.ts';

/** The namespace of a pod, and the host of its image. */
export interface PodRequest {
  readonly namespace: string;
  readonly host: string;
}

/** The result of one pod, and when its request was sent and completed, in ms as of `performance.now`. */
export interface SentPod extends PodRequest, Admitted {
  readonly sentAt: number;
  readonly completedAt: number;
}

/** Keeps creating pods in the background. */
export interface PodLoad {
  readonly sent: readonly SentPod[];
  /** Stops, and waits for the requests in flight. Rejects if the API server did not respond to one. */
  stop(): Promise<readonly SentPod[]>;
}

/** Maximum requests in flight. Beyond it the rate drops, because the machine is too slow. */
const maxInFlight = 48;

/** Pods that are created at the same time, as when a Deployment scales up. Single pods would need few connections. */
const burstSize = 10;

/** Creates pods at a constant rate. A group that is late does not delay the next ones. */
export function startPodLoad(
  apiServer: TestApiServer,
  perSecond: number,
  nextPod: () => PodRequest,
): PodLoad {
  const client = withKeepAliveConnections(apiServer);
  const limit = pLimit(maxInFlight);
  const sent: SentPod[] = [];
  const create = async ({ namespace, host }: PodRequest) => {
    const sentAt = performance.now();
    const admitted = await createPod(client.apiServer, namespace, podWith([`${host}/app:1`]));
    sent.push({ ...admitted, namespace, host, sentAt, completedAt: performance.now() });
  };
  let hasEnded = false;
  const run = async () => {
    const requests: Promise<void>[] = [];
    const start = performance.now();
    for (let count = 0; !hasEnded; count += 1) {
      const due = start + ((count - (count % burstSize)) * 1_000) / perSecond;
      await wait(Math.max(0, due - performance.now()));
      requests.push(limit(create, nextPod()));
    }
    const results = await Promise.allSettled(requests);
    client.close();
    for (const result of results) {
      if (result.status === 'rejected') {
        throw result.reason;
      }
    }
  };
  const loop = run();
  loop.catch(() => undefined); // stop() throws the error
  return {
    sent,
    stop: async () => {
      hasEnded = true;
      await loop;
      return sent;
    },
  };
}

/** Pods sent per second. */
export function getSendRate(sent: readonly SentPod[]): number {
  const times = sent.map(({ sentAt }) => sentAt);
  return ((sent.length - 1) * 1_000) / (Math.max(...times) - Math.min(...times));
}

/** Uses keep-alive connections, because a handshake takes longer than creating a pod. */
function withKeepAliveConnections(apiServer: TestApiServer): { apiServer: TestApiServer; close(): void } {
  const config = new KubeConfig();
  config.loadFromFile(apiServer.kubeconfigPath);
  const agent = new Agent({ keepAlive: true });
  const request: TestApiServer['request'] = async (method, path, body) => {
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    return await send(`${config.getCurrentCluster()?.server}${path}`, { ...options, method, agent }, body);
  };
  return { apiServer: { ...apiServer, request }, close: () => agent.destroy() };
}
