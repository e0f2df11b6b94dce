// The HTTP handler that all AWS clients share: timeouts, DNS, CA bundle, proxies and a limit on responses.
import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { pipeline, Readable, Transform } from 'node:stream';
import { createSecureContext } from 'node:tls';
import { NodeHttpHandler, type NodeHttpHandlerOptions } from '@smithy/node-http-handler';
import { type Environment, readAwsSettings } from './aws-settings.ts';
import { createLookup } from './dns-lookup.ts';
import { type ProxyServer, type ProxySettings, selectProxy } from './proxy.ts';
import { TunnelAgent } from './proxy-tunnel.ts';

/** Timeouts of calls to AWS, in ms. */
export interface Timeouts {
  /** Until a connection is established. */
  readonly connectMs: number;
  /** Until the response to one request arrives; the SDK may retry the request. */
  readonly requestMs: number;
}

/** Timeouts of a whole call to AWS, in ms. */
export interface CallTimeouts extends Timeouts {
  /** Bounds the call with the SDK's retries; twice `requestMs` by default. */
  readonly totalMs?: number;
}

export function getTotalMs({ requestMs, totalMs = 2 * requestMs }: CallTimeouts): number {
  return totalMs;
}

/** Idle connections are closed before AWS, a proxy or a load balancer closes them, in ms. */
const idleTimeoutMs = 20_000;

/**
 * Max connections to one host: more than one for each concurrent call of several regions (see call-queue.ts), with STS. All
 * regions share the host of STS, and with a custom endpoint that of ECR, and calls that hang must not keep the others from a
 * connection.
 */
const maxSockets = 256;

/** Max length of a response, in bytes: hundreds of times what ECR and STS send. */
const maxResponseBytes = 1024 * 1024;

/** HTTP status of a proxy that rejects or requires credentials. */
const proxyAuthenticationRequired = 407;

/**
 * The HTTP handler of all AWS clients, including those of STS and IAM Identity Center. Each client calls `destroy` when it
 * is evicted from the cache; that does nothing, so that the calls of other clients go on. `close` closes the connections.
 * The endpoint is not trusted, so a response that is too long fails with the code `RESPONSE_TOO_LARGE` without being read.
 *
 * Errors of requests through a proxy have a `proxyVariable`, the environment variable that the proxy is from, and a
 * `proxyAddress`, its URL without user name and password. If the proxy requires authentication, the code is `ERR_PROXY_TUNNEL`
 * and the `statusCode` 407.
 */
export class SharedHttpHandler extends NodeHttpHandler {
  readonly #proxies: ProxySettings;
  readonly #proxiedHandler: NodeHttpHandler;

  constructor(direct: NodeHttpHandlerOptions, proxied: NodeHttpHandlerOptions, proxies: ProxySettings) {
    super(direct);
    this.#proxiedHandler = new NodeHttpHandler(proxied);
    this.#proxies = proxies;
  }

  override async handle(...call: Parameters<NodeHttpHandler['handle']>) {
    const proxy = selectProxy(this.#proxies, call[0]);
    const result = await (proxy === undefined ? super.handle(...call) : this.#handleViaProxy(proxy, ...call));
    const { body } = result.response;
    if (body instanceof Readable) {
      result.response.body = limitBody(body);
    }
    return result;
  }

  override destroy(): void {}

  close(): void {
    super.destroy();
    this.#proxiedHandler.destroy();
  }

  async #handleViaProxy({ url, variable }: ProxyServer, ...call: Parameters<NodeHttpHandler['handle']>) {
    try {
      const result = await this.#proxiedHandler.handle(...call);
      const { statusCode, body } = result.response;
      if (statusCode === proxyAuthenticationRequired) {
        body?.destroy();
        throw Object.assign(new Error('the proxy requires authentication'), {
          code: 'ERR_PROXY_TUNNEL',
          statusCode,
        });
      }
      return result;
    } catch (error) {
      const proxyAddress = new URL(url).origin;
      throw error instanceof Error ? Object.assign(error, { proxyVariable: variable, proxyAddress }) : error;
    }
  }
}

function createTooLargeError(): Error {
  return Object.assign(new Error(`more than ${maxResponseBytes} bytes`), { code: 'RESPONSE_TOO_LARGE' });
}

/** Wraps a stream so that it fails if it is too long, which also destroys the response and its connection. */
function limitBody(body: Readable): Readable {
  let length = 0;
  const counter = new Transform({
    transform(chunk: Buffer, _, done) {
      length += chunk.length;
      done(length > maxResponseBytes ? createTooLargeError() : null, chunk);
    },
  });
  pipeline(body, counter, () => undefined); // the reader of the counter receives the error
  return counter;
}

/**
 * Creates the handler. It uses the proxies of the environment (see proxy.ts), which the SDK itself ignores.
 * @throws {ConfigError} with every invalid variable; its text contains nothing of their values
 */
export function createSharedHttpHandler(timeouts: Timeouts, environment: Environment): SharedHttpHandler {
  const { proxies, ca } = readAwsSettings(environment);
  const options = {
    connectionTimeout: timeouts.connectMs,
    requestTimeout: timeouts.requestMs,
    throwOnRequestTimeout: true, // without it the SDK only warns
    socketTimeout: timeouts.requestMs, // the request timeout covers only the headers, but the body may hang too
  };
  const agent = {
    keepAlive: true,
    maxSockets,
    maxFreeSockets: 2,
    timeout: idleTimeoutMs,
    lookup: createLookup(),
    // shared, because parsing a CA bundle blocks the event loop for 9 ms
    ...(ca && { secureContext: createSecureContext({ ca: [...ca] }) }),
  };
  // Node's own NO_PROXY supports neither subdomains nor networks, so proxy.ts decides instead.
  const proxiedHttp = new HttpAgent({ ...agent, proxyEnv: { HTTP_PROXY: proxies.http?.url } });
  const { connectMs } = timeouts;
  const proxiedHttps = proxies.https && {
    httpsAgent: new TunnelAgent(agent, { proxy: proxies.https.url, connectMs, lookup: agent.lookup }),
  };
  return new SharedHttpHandler(
    { ...options, httpAgent: new HttpAgent(agent), httpsAgent: new HttpsAgent(agent) },
    { ...options, httpAgent: proxiedHttp, ...proxiedHttps },
    proxies,
  );
}
