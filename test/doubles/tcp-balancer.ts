// A TCP load balancer in a worker thread.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/** One address before several servers, as a Service is: each new connection goes to the next server. */
export interface Balancer {
  /** As the servers' own, with the balancer's address in it. */
  readonly url: string;
  /** Servers that get new connections now. */
  readonly urls: readonly string[];
  /** Takes one in. */
  add(url: string): void;
  /** Gives one no new connections; those that are there stay. */
  remove(url: string): void;
  stop(): Promise<void>;
}

/**
 * Starts on a free port of the loopback. TLS passes through. A connection for which there is no server is ended.
 * It runs on a thread of its own, because a kernel's Service does not hold bytes back while a test is busy: a server that
 * closes an idle connection in that time would lose a call.
 */
export async function startBalancer(urls: readonly string[] = []): Promise<Balancer> {
  let servers = [...urls];
  const worker = new Worker(new URL('./tcp-balancer-worker.ts', import.meta.url), {
    workerData: portsOf(servers),
  });
  const [port] = await once(worker, 'message');
  const change = (changed: string[]) => {
    servers = changed;
    worker.postMessage(portsOf(servers));
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

function portsOf(urls: readonly string[]): number[] {
  return urls.map((url) => Number(new URL(url).port));
}
