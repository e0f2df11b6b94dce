// Sends requests to a registry with the credentials of a pull Secret.
import { addAbortSignal } from 'node:stream';
import { text } from 'node:stream/consumers';
import { getField, parseJsonOrUndefined } from '../util/json.ts';
import type { Environment } from './aws-settings.ts';
import { createSharedHttpHandler, type SharedHttpHandler, type Timeouts } from './http-handler.ts';

/** A response of a registry. */
interface RegistryResponse {
  readonly status: number;
  /** By name in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Sends requests to one registry. Redirects are not followed, because the credentials are for this host only. */
export interface RegistryClient {
  /**
   * @param path with the leading slash
   * @throws errors of Node, for `classifyError`
   */
  send(method: 'GET' | 'HEAD', path: string, accept: string): Promise<RegistryResponse>;
  /** Closes all connections. */
  close(): void;
}

export interface RegistryClientOptions {
  /** Host with its port. */
  readonly host: string;
  /** Base64 of `USER:PASSWORD`. */
  readonly auth: string;
  /** For proxies and CAs; see {@link createSharedHttpHandler}. */
  readonly environment: Environment;
  readonly timeouts: Timeouts;
  /** Aborts all requests. */
  readonly signal: AbortSignal;
}

/**
 * Creates the client, whose connections and the size of whose responses are bounded as those of the AWS clients. As the kubelet
 * does, it sends the credentials with basic authentication, or exchanges them for a bearer token if the registry demands one, as
 * ECR Public does.
 * @throws {ConfigError} if the environment has invalid settings for proxies or CAs
 */
export function createRegistryClient(options: RegistryClientOptions): RegistryClient {
  const { host, auth, environment, timeouts, signal } = options;
  const http = createSharedHttpHandler(timeouts, environment);
  let authorization = `Basic ${auth}`;
  const request = (method: 'GET' | 'HEAD', path: string, accept: string) =>
    sendRequest(http, { host, method, path, headers: { accept, authorization } }, signal);

  return {
    send: async (method, path, accept) => {
      const response = await request(method, path, accept);
      const realm =
        response.status === 401 ? findTokenPath(response.headers['www-authenticate'], host) : undefined;
      if (realm === undefined || !authorization.startsWith('Basic ')) {
        return response;
      }
      const { body } = await request('GET', realm, 'application/json');
      const token = getField(parseJsonOrUndefined(body), 'token');
      if (typeof token !== 'string' || !/^[\x21-\x7e]{1,16384}$/.test(token)) {
        return response;
      }
      authorization = `Bearer ${token}`;
      return await request(method, path, accept);
    },
    close: () => http.close(),
  };
}

/**
 * The path and query at which the registry issues bearer tokens; undefined if it demands none. Another host gets no credentials.
 * @param challenge the header `WWW-Authenticate`
 */
function findTokenPath(challenge: string | undefined, host: string): string | undefined {
  const field = (name: string) =>
    new RegExp(`^Bearer [^\\n]{0,500}?\\b${name}="([^"\\n]{1,500})"`, 'i').exec(challenge ?? '')?.[1];
  const realm = field('realm');
  const url = realm === undefined ? null : URL.parse(realm);
  if (url?.protocol !== 'https:' || url.host !== new URL(`https://${host}`).host) {
    return undefined;
  }
  for (const name of ['service', 'scope']) {
    const value = field(name);
    if (value !== undefined) {
      url.searchParams.set(name, value);
    }
  }
  return `${url.pathname}${url.search}`;
}

interface HostRequest {
  readonly host: string;
  readonly method: 'GET' | 'HEAD';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
}

async function sendRequest(
  http: SharedHttpHandler,
  { host, method, path, headers }: HostRequest,
  signal: AbortSignal,
): Promise<RegistryResponse> {
  const { hostname, port } = new URL(`https://${host}`);
  const target = { protocol: 'https:', hostname, ...(port !== '' && { port: Number(port) }) };
  const request = { ...target, method, path, query: {}, headers: { ...headers, host }, clone: () => request };
  const { response } = await http.handle(request, { abortSignal: signal });
  return {
    status: response.statusCode,
    headers: response.headers,
    body: await text(addAbortSignal(signal, response.body)),
  };
}
