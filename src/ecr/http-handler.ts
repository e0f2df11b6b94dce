import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { pipeline, Readable, Transform } from 'node:stream';
import { createSecureContext } from 'node:tls';
import { NodeHttpHandler, type NodeHttpHandlerOptions } from '@smithy/node-http-handler';
import { type Environment, readAwsSettings } from './aws-settings.ts';
import { createLookup } from './dns-lookup.ts';
import { type ProxyServer, type ProxySettings, selectProxy } from './proxy.ts';
import { TunnelAgent } from './proxy-tunnel.ts';

/** How long AWS may take, in ms. */
export interface Timeouts {
  /** Until a connection stands. */
  readonly connectMs: number;
  /** Until one request is answered; the SDK may try a request again. */
  readonly requestMs: number;
}

/** Idle connections are closed before AWS, or a proxy or load balancer on the way, would do it. */
const idleTimeoutMs = 20_000;

/**
 * Connections to one host: one for each call that may run at a time (see call-queue.ts), and some for STS. With an endpoint of
 * the operator's own all regions share one host, and a call that hangs must not keep the others from a connection.
 */
const maxSockets = 96;

/** Bytes of an answer: some hundred times what ECR and STS send, and next to nothing in memory. */
const maxResponseBytes = 1024 * 1024;

/** The HTTP status of a proxy that does not accept the credentials, or wants some. */
const proxyAuthenticationRequired = 407;

/**
 * The one HTTP handler of all AWS clients, those of STS and IAM Identity Center too. A client that is dropped must not
 * end the calls of the others, so `destroy`, which each client calls, does nothing; `close` ends the connections. An
 * answer that is too long fails with the code `RESPONSE_TOO_LARGE`, and the rest of it is not read: an endpoint is what its
 * operator, DNS or a proxy on the way say it is.
 *
 * Errors of requests through a proxy have a `proxyVariable`: the environment variable that named the proxy. Where a
 * proxy demands authentication, the code is `ERR_PROXY_TUNNEL` and the `statusCode` 407.
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

  async #handleViaProxy({ variable }: ProxyServer, ...call: Parameters<NodeHttpHandler['handle']>) {
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
      throw error instanceof Error ? Object.assign(error, { proxyVariable: variable }) : error;
    }
  }
}

function createTooLargeError(): Error {
  return Object.assign(new Error(`more than ${maxResponseBytes} bytes`), { code: 'ANSWER_TOO_LARGE' });
}

/** The same stream, which fails where it is too long. To fail destroys the answer, and with it the connection. */
function limitBody(body: Readable): Readable {
  let length = 0;
  const counter = new Transform({
    transform(chunk: Buffer, _, done) {
      length += chunk.length;
      done(length > maxResponseBytes ? createTooLargeError() : null, chunk);
    },
  });
  pipeline(body, counter, () => undefined); // who reads the counter gets its error
  return counter;
}

/**
 * Goes through the proxies that the environment names (see proxy.ts), which the SDK does not do by itself.
 * @throws ConfigError with every variable that cannot be used; its text holds nothing of their values
 */
export function createSharedHttpHandler(timeouts: Timeouts, environment: Environment): SharedHttpHandler {
  const { proxies, ca } = readAwsSettings(environment);
  const options = {
    connectionTimeout: timeouts.connectMs,
    requestTimeout: timeouts.requestMs,
    throwOnRequestTimeout: true, // without it the SDK only warns
    socketTimeout: timeouts.requestMs, // the request's own timeout ends with the headers, a body may hang as well
  };
  const agent = {
    keepAlive: true,
    maxSockets,
    maxFreeSockets: 2,
    timeout: idleTimeoutMs,
    lookup: createLookup(),
    // one for all connections: to parse a bundle takes 9 ms, of which the loop would wait for each connection
    ...(ca && { secureContext: createSecureContext({ ca: [...ca] }) }),
  };
  // Node's own NO_PROXY knows no subdomains and no networks, so it is never given one: proxy.ts decides.
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
