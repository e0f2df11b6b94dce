import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { NodeHttpHandler } from '@smithy/node-http-handler';

/** Variables of the environment by name, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** How long AWS may take, in ms. */
export interface Timeouts {
  /** Until a connection stands. */
  readonly connectMs: number;
  /** Until one request is answered; the SDK may try a request again. */
  readonly requestMs: number;
}

/** Idle connections are closed before AWS, or a proxy or load balancer on the way, would do it. */
const idleMs = 20_000;

/**
 * Connections to one host: one for each call that may run at a time (see call-queue.ts), and some for STS. With an endpoint of
 * the operator's own all regions share one host, and a call that hangs must not keep the others from a connection.
 */
const maxSockets = 96;

/**
 * The one HTTP handler of all AWS clients, those of STS too. A client that is dropped must not end the calls of the
 * others, so `destroy`, which each client calls, does nothing; `close` ends the connections.
 */
export class SharedHttpHandler extends NodeHttpHandler {
  override destroy(): void {}

  close(): void {
    super.destroy();
  }
}

/**
 * Goes through the proxies that the environment names (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`), which the SDK does
 * not do by itself. Node's agents of http and https both do.
 * @throws Error if a proxy's URL cannot be read; its text holds nothing of the URL, in which there may be a password
 */
export function sharedHttpHandler(timeouts: Timeouts, environment: Environment): SharedHttpHandler {
  return new SharedHttpHandler({
    connectionTimeout: timeouts.connectMs,
    requestTimeout: timeouts.requestMs,
    throwOnRequestTimeout: true, // without it the SDK only warns
    socketTimeout: timeouts.requestMs, // the request's own timeout ends with the headers, a body may hang as well
    ...agents(environment),
  });
}

function agents(environment: Environment): { httpAgent: HttpAgent; httpsAgent: HttpsAgent } {
  const proxyEnv = { ...environment };
  const options = { keepAlive: true, maxSockets, maxFreeSockets: 2, timeout: idleMs, proxyEnv };
  try {
    return { httpAgent: new HttpAgent(options), httpsAgent: new HttpsAgent(options) };
  } catch {
    throw new Error('HTTPS_PROXY or HTTP_PROXY is not the URL of a proxy');
  }
}
