import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

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

/** Starts on a free port of the loopback. TLS passes through. A connection for which there is no server is ended. */
export async function startBalancer(urls: readonly string[] = []): Promise<Balancer> {
  let servers = [...urls];
  const open = new Set<Socket>();
  let next = 0;
  const server = createServer((client) => {
    const url = servers[next++ % servers.length];
    if (url === undefined) {
      client.destroy();
      return;
    }
    const upstream = connect(Number(new URL(url).port), '127.0.0.1');
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(from);
      from.pipe(to);
      from.on('error', () => to.destroy()).on('close', () => open.delete(from));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/mutate`,
    get urls() {
      return servers;
    },
    add: (url) => {
      servers = [...servers, url];
    },
    remove: (url) => {
      servers = servers.filter((other) => other !== url);
    },
    stop: async () => {
      for (const socket of open) {
        socket.destroy();
      }
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
