import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** One address before several servers, as a Service is: each new connection goes to the next server. */
export interface Balancer {
  /** The URL of the first server, with the balancer's own address in it. */
  readonly url: string;
  /** Connections so far, by server. */
  readonly connections: readonly number[];
  stop(): Promise<void>;
}

/** Starts on a free port of the loopback. TLS passes through. */
export async function startBalancer(urls: readonly string[]): Promise<Balancer> {
  const ports = urls.map((url) => Number(new URL(url).port));
  const connections = ports.map(() => 0);
  const open = new Set<Socket>();
  let next = 0;
  const server = createServer((client) => {
    const index = next++ % ports.length;
    connections[index] = (connections[index] ?? 0) + 1;
    const upstream = connect(ports[index] ?? 0, '127.0.0.1');
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
  const url = new URL(urls[0] ?? '');
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    connections,
    stop: async () => {
      for (const socket of open) {
        socket.destroy();
      }
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
