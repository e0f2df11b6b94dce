import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { pipeline, Readable, Transform } from 'node:stream';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { createLookup } from './lookup.ts';

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

/** Bytes of an answer: some hundred times what ECR and STS send, and next to nothing in memory. */
const maxAnswerBytes = 1024 * 1024;

/**
 * The one HTTP handler of all AWS clients, those of STS too. A client that is dropped must not end the calls of the
 * others, so `destroy`, which each client calls, does nothing; `close` ends the connections. An answer that is too long
 * fails with the code `ANSWER_TOO_LARGE`, and the rest of it is not read: an endpoint is what its operator, DNS or a
 * proxy on the way say it is.
 */
export class SharedHttpHandler extends NodeHttpHandler {
  override async handle(...call: Parameters<NodeHttpHandler['handle']>) {
    const result = await super.handle(...call);
    const { body } = result.response;
    if (body instanceof Readable) {
      result.response.body = bounded(body);
    }
    return result;
  }

  override destroy(): void {}

  close(): void {
    super.destroy();
  }
}

function tooLarge(): Error {
  return Object.assign(new Error(`more than ${maxAnswerBytes} bytes`), { code: 'ANSWER_TOO_LARGE' });
}

/** The same stream, which fails where it is too long. To fail destroys the answer, and with it the connection. */
function bounded(body: Readable): Readable {
  let length = 0;
  const counter = new Transform({
    transform(chunk: Buffer, _, done) {
      length += chunk.length;
      done(length > maxAnswerBytes ? tooLarge() : null, chunk);
    },
  });
  pipeline(body, counter, () => undefined); // who reads the counter gets its error
  return counter;
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
  const options = {
    keepAlive: true,
    maxSockets,
    maxFreeSockets: 2,
    timeout: idleMs,
    proxyEnv,
    lookup: createLookup(),
  };
  try {
    return { httpAgent: new HttpAgent(options), httpsAgent: new HttpsAgent(options) };
  } catch {
    throw new Error('HTTPS_PROXY or HTTP_PROXY is not the URL of a proxy');
  }
}
