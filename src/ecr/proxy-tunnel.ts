// Opens connections to AWS through a proxy.
import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent, type AgentOptions, request as httpsRequest } from 'node:https';
import { isIP, type LookupFunction } from 'node:net';
import type { Duplex } from 'node:stream';

export interface TunnelOptions {
  /** URL of the proxy, with the scheme `http` or `https`. It may hold a user name and a password. */
  readonly proxy: string;
  /** How long a connection may take, TLS with the endpoint included, in ms. */
  readonly connectMs: number;
  readonly lookup: LookupFunction;
}

/** The arguments of `createConnection`. */
type ConnectionOptions = Parameters<Agent['createConnection']>[0];
type Callback = NonNullable<Parameters<Agent['createConnection']>[1]>;

/**
 * An HTTPS agent whose connections are tunnels (`CONNECT`). That of Node 24 (`proxyEnv`) does not limit the length of the
 * proxy's response, doubles its listeners with each part of it until the process ends, and keeps the connection of a request
 * that was given up. Here, node:http reads the response, and the connection is closed after `connectMs`.
 *
 * Fails with the code `ERR_PROXY_TUNNEL` and the `statusCode` where the proxy refuses or does not speak HTTP, and with
 * `TimeoutError`, as the SDK's own timeout, after `connectMs`.
 */
export class TunnelAgent extends Agent {
  readonly #tunnel: TunnelOptions;

  constructor(options: AgentOptions, tunnel: TunnelOptions) {
    super(options);
    this.#tunnel = tunnel;
  }

  override createConnection(options: ConnectionOptions, callback?: Callback): undefined {
    let current: { destroy(error?: Error): unknown };
    let settled = false;
    const settle = (error: Error | null, socket?: Duplex) => {
      if (settled) {
        return;
      }
      settled = true;
      clearTimeout(timer);
      if (error !== null) {
        current.destroy();
      }
      (callback as ((error: Error | null, socket?: Duplex) => void) | undefined)?.(error, socket);
    };
    const onError = (error: Error) => settle(error);
    const timer = setTimeout(onError, this.#tunnel.connectMs, createTunnelError('TimeoutError'));
    const request = createConnectRequest(this.#tunnel, options);
    const onRequestError = (error: Error & { code?: string }) =>
      settle(error.code?.startsWith('HPE_') === true ? createTunnelError('ERR_PROXY_TUNNEL') : error);
    current = request
      .on('error', onRequestError)
      .on('connect', ({ statusCode = 0 }, socket: Duplex, head) => {
        socket.on('error', onError);
        if (settled || statusCode !== 200 || head.length > 0) {
          socket.destroy();
          settle(createTunnelError('ERR_PROXY_TUNNEL', statusCode));
          return;
        }
        const tlsSocket = super.createConnection({ ...options, socket } as ConnectionOptions) as Duplex;
        current = tlsSocket.on('error', onError).once('secureConnect', () => {
          tlsSocket.off('error', onError);
          settle(null, tlsSocket);
        });
      });
    request.end();
  }
}

function createConnectRequest(
  { proxy, lookup }: TunnelOptions,
  { host, port }: ConnectionOptions,
): ClientRequest {
  const { protocol, hostname, port: proxyPort, username, password } = new URL(proxy);
  const endpoint = `${isIP(String(host)) === 6 ? `[${host}]` : host}:${port ?? 443}`;
  const credentials = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`);
  const proxyHost = hostname.replace(/^\[(.*)\]$/, '$1');
  return (protocol === 'https:' ? httpsRequest : httpRequest)({
    method: 'CONNECT',
    host: proxyHost,
    servername: isIP(proxyHost) === 0 ? proxyHost : '', // else node:https takes the endpoint's, from the header `host`
    port: proxyPort,
    path: endpoint,
    headers: {
      host: endpoint,
      ...((username !== '' || password !== '') && {
        'proxy-authorization': `Basic ${credentials.toString('base64')}`,
      }),
    },
    agent: false,
    lookup,
  });
}

function createTunnelError(code: string, statusCode?: IncomingMessage['statusCode']): Error {
  return Object.assign(new Error('cannot open a tunnel through the proxy'), {
    code,
    ...(statusCode !== undefined && { statusCode }),
  });
}
