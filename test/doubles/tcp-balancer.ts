// A TCP load balancer in a worker thread, in place of a Kubernetes Service.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/** Distributes new connections to several servers round-robin, as a Service does. */
export interface Balancer {
  /** The webhook URL with the address of the balancer. */
  readonly url: string;
  /** Servers that receive new connections. */
  readonly urls: readonly string[];
  /** Adds a server. */
  add(url: string): void;
  /** Removes a server. Its open connections are kept. */
  remove(url: string): void;
  stop(): Promise<void>;
}

/**
 * Starts a balancer on a free loopback port. It forwards TLS, and closes connections if there is no server. It runs in a worker
 * thread, because a Service in the kernel forwards bytes without delay even while a test is busy. Otherwise a call would be
 * lost if a server closed an idle connection in that time.
 */
export async function startBalancer(urls: readonly string[] = []): Promise<Balancer> {
  let servers = [...urls];
  const worker = new Worker(new URL('./tcp-balancer-worker.ts', import.meta.url), {
    workerData: getPorts(servers),
  });
  const [port] = await once(worker, 'message');
  const change = (changed: string[]) => {
    servers = changed;
    worker.postMessage(getPorts(servers));
  };
  return {
    url: `https://127.0.0.1:${port}/mutate`,
    get urls() {
      return servers;
    },
    add: (url) => change([...servers, url]),
    remove: (url) => change(servers.filter((other) => other !== url)),
    stop: async () => {
      await worker.terminate();
    },
  };
}

function getPorts(urls: readonly string[]): number[] {
  return urls.map((url) => Number(new URL(url).port));
}
