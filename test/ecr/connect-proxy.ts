// An HTTP CONNECT proxy for tests of proxied AWS calls; records the tunnels that clients open.
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';

export interface ConnectProxyOptions {
  /** Where tunnels and plain requests end, whatever host they name, as `http://HOST:PORT`; without it no tunnel opens. */
  readonly to?: string;
  /** Requires the password of the proxy's URL, and responds with 407 without it. */
  readonly authenticates?: boolean;
  /** Accepts connections and never responds. */
  readonly hangs?: boolean;
  /** Responds to CONNECT in its own way. */
  readonly responds?: (socket: Duplex) => void;
}

/** An HTTP proxy that forwards plain requests and records the hosts of tunnels. */
export interface ConnectProxy {
  /** With a user name and a password. */
  readonly url: string;
  readonly port: number;
  /** `HOST:PORT` of every CONNECT, in order. */
  readonly tunnels: readonly string[];
  /** The full URL of every plain request, in order. */
  readonly forwarded: readonly string[];
  /** Connections of tunnels that are open. */
  open(): number;
  stop(): Promise<void>;
}

const credentials = 'user:canary0proxy0password';
const authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;

export async function startConnectProxy(options: ConnectProxyOptions = {}): Promise<ConnectProxy> {
  const tunnels: string[] = [];
  const passedOn: string[] = [];
  const sockets = new Set<Duplex>();
  const isRefused = ({ headers }: IncomingMessage) =>
    options.authenticates === true && headers['proxy-authorization'] !== authorization;
  const server = createServer((incoming, outgoing) => {
    passedOn.push(incoming.url ?? '');
    if (isRefused(incoming)) {
      outgoing.writeHead(407).end();
    } else if (options.hangs !== true) {
      forwardRequest(incoming, outgoing, options.to);
    }
  });
  server.on('connect', (incoming, socket) => {
    tunnels.push(incoming.url ?? '');
    sockets.add(socket);
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket));
    if (options.responds !== undefined) {
      options.responds(socket);
    } else if (isRefused(incoming)) {
      socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
    } else if (options.to !== undefined) {
      openTunnel(socket, new URL(options.to));
    } else if (options.hangs === true) {
      socket.resume().on('end', () => socket.destroy());
    } else {
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${credentials}@127.0.0.1:${port}`,
    port,
    tunnels,
    forwarded: passedOn,
    open: () => sockets.size,
    stop: async () => {
      server.closeAllConnections();
      for (const socket of sockets) {
        socket.destroy();
      }
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function openTunnel(socket: Duplex, to: URL): void {
  const onward = connect(Number(to.port), to.hostname, () => {
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    socket.pipe(onward).pipe(socket);
  });
  onward.on('error', () => socket.destroy());
  socket.on('close', () => onward.destroy());
}

function forwardRequest(incoming: IncomingMessage, outgoing: ServerResponse, to: string | undefined): void {
  const { method, headers, url } = incoming;
  const requested = new URL(String(url));
  const target = to === undefined ? requested : new URL(`${requested.pathname}${requested.search}`, to);
  const onward = request(target, { method: method ?? 'POST', headers }, (response) => {
    outgoing.writeHead(response.statusCode ?? 502, response.headers);
    response.pipe(outgoing);
  });
  onward.on('error', () => outgoing.destroy());
  incoming.pipe(onward);
}
