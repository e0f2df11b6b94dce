import { Agent, type RequestOptions } from 'node:https';
import { setTimeout as wait } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import pLimit from 'p-limit';
import { send } from '../cluster/kube-request.ts';
import { type Admitted, createPod, podWith } from './pods.ts';
import type { Ground } from './test-api-server.ts';

/** Where a pod goes, and where its image is from. */
export interface Order {
  readonly namespace: string;
  readonly host: string;
}

/** What came of one pod, and when it was sent and answered: ms, as of `performance.now`. */
export interface Sent extends Order, Admitted {
  readonly sentAt: number;
  readonly answeredAt: number;
}

/** Pods that come and come, whatever happens beside. */
export interface Load {
  readonly sent: readonly Sent[];
  /** Lets those under way come to their end. Rejects where the API server did not answer at all. */
  end(): Promise<readonly Sent[]>;
}

/** More under way than this, and the pace slackens: the machine cannot do it. */
const mostAtOnce = 48;

/** So many come at once, as when a Deployment grows: one after another, they would need hardly any connections. */
const together = 10;

/** Sends pods at a pace: each group has its time, and one that is late does not make the next ones late. */
export function startLoad(ground: Ground, perSecond: number, order: () => Order): Load {
  const kept = onKeptConnections(ground);
  const limit = pLimit(mostAtOnce);
  const sent: Sent[] = [];
  const create = async ({ namespace, host }: Order) => {
    const sentAt = performance.now();
    const admitted = await createPod(kept.ground, namespace, podWith([`${host}/app:1`]));
    sent.push({ ...admitted, namespace, host, sentAt, answeredAt: performance.now() });
  };
  let ended = false;
  const run = async () => {
    const under: Promise<void>[] = [];
    const start = performance.now();
    for (let count = 0; !ended; count += 1) {
      const due = start + ((count - (count % together)) * 1_000) / perSecond;
      await wait(Math.max(0, due - performance.now()));
      under.push(limit(create, order()));
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
export function rateOf(sent: readonly Sent[]): number {
  const times = sent.map(({ sentAt }) => sentAt);
  return ((sent.length - 1) * 1_000) / (Math.max(...times) - Math.min(...times));
}

/** A handshake for each pod would cost more than the pod. */
function onKeptConnections(ground: Ground): { ground: Ground; close(): void } {
  const config = new KubeConfig();
  config.loadFromFile(ground.kubeconfigPath);
  const agent = new Agent({ keepAlive: true });
  const request: Ground['request'] = async (method, path, body) => {
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    return await send(`${config.getCurrentCluster()?.server}${path}`, { ...options, method, agent }, body);
  };
  return { ground: { ...ground, request }, close: () => agent.destroy() };
}
