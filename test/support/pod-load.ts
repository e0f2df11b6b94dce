import { Agent, type RequestOptions } from 'node:https';
import { setTimeout as wait } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import pLimit from 'p-limit';
import { send } from '../cluster/kube-request.ts';
import { type Admitted, createPod, podWith } from './pods.ts';
import type { TestApiServer } from './test-api-server.ts';

/** Where a pod goes, and where its image is from. */
export interface PodRequest {
  readonly namespace: string;
  readonly host: string;
}

/** What came of one pod, and when it was sent and answered: ms, as of `performance.now`. */
export interface SentPod extends PodRequest, Admitted {
  readonly sentAt: number;
  readonly answeredAt: number;
}

/** Pods that come and come, whatever happens beside. */
export interface PodLoad {
  readonly sent: readonly SentPod[];
  /** Lets those under way come to their end. Rejects where the API server did not answer at all. */
  end(): Promise<readonly SentPod[]>;
}

/** More under way than this, and the pace slackens: the machine cannot do it. */
const maxInFlight = 48;

/** So many come at once, as when a Deployment grows: one after another, they would need hardly any connections. */
const burstSize = 10;

/** Sends pods at a pace: each group has its time, and one that is late does not make the next ones late. */
export function startPodLoad(
  apiServer: TestApiServer,
  perSecond: number,
  nextPod: () => PodRequest,
): PodLoad {
  const kept = withKeepAliveConnections(apiServer);
  const limit = pLimit(maxInFlight);
  const sent: SentPod[] = [];
  const create = async ({ namespace, host }: PodRequest) => {
    const sentAt = performance.now();
    const admitted = await createPod(kept.apiServer, namespace, podWith([`${host}/app:1`]));
    sent.push({ ...admitted, namespace, host, sentAt, answeredAt: performance.now() });
  };
  let ended = false;
  const run = async () => {
    const under: Promise<void>[] = [];
    const start = performance.now();
    for (let count = 0; !ended; count += 1) {
      const due = start + ((count - (count % burstSize)) * 1_000) / perSecond;
      await wait(Math.max(0, due - performance.now()));
      under.push(limit(create, nextPod()));
    }
    const results = await Promise.allSettled(under);
    kept.close();
    for (const result of results) {
      if (result.status === 'rejected') throw result.reason;
    }
  };
  const running = run();
  running.catch(() => undefined); // told by end()
  return {
    sent,
    end: async () => {
      ended = true;
      await running;
      return sent;
    },
  };
}

/** How many were sent in a second. */
export function getSendRate(sent: readonly SentPod[]): number {
  const times = sent.map(({ sentAt }) => sentAt);
  return ((sent.length - 1) * 1_000) / (Math.max(...times) - Math.min(...times));
}

/** A handshake for each pod would cost more than the pod. */
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
