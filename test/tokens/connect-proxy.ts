import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An HTTP proxy that passes plain requests on, and notes the hosts of tunnels but never opens one. */
export interface ConnectProxy {
  readonly url: string;
  /** `HOST:PORT` of every CONNECT, in order. */
  readonly tunnels: readonly string[];
  /** The full URL of every plain request, in order. */
  readonly passedOn: readonly string[];
  stop(): Promise<void>;
}

export async function startConnectProxy(): Promise<ConnectProxy> {
  const tunnels: string[] = [];
  const passedOn: string[] = [];
  const server = createServer((incoming, outgoing) => {
    passedOn.push(incoming.url ?? '');
    passOn(incoming, outgoing);
  });
  server.on('connect', (incoming, socket) => {
    tunnels.push(incoming.url ?? '');
    socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://user:canary0proxy0password@127.0.0.1:${port}`,
    tunnels,
    passedOn,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function passOn(incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { method, headers, url } = incoming;
  const onward = request(String(url), { method: method ?? 'POST', headers }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(outgoing);
  });
  onward.on('error', () => outgoing.destroy());
  incoming.pipe(onward);
}
