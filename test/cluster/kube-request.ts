// Sends single requests to an API server, without a client library.
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { text } from 'node:stream/consumers';
import { KubeConfig } from '@kubernetes/client-node';

/** What the API server answered. */
export interface ApiResponse {
  readonly status: number;
  /** Parsed if it is JSON, text if it is not. */
  readonly body: unknown;
  /** What it and its webhooks warn of: the texts of the `Warning` headers. */
  readonly warnings: readonly string[];
}

export interface CallOptions {
  /** Default `application/json`; for server-side apply `application/apply-patch+yaml`. */
  readonly contentType?: string;
  readonly accept?: string;
}

/**
 * One call of the API server, without a client's ideas between: any path, any body, any answer.
 * @throws only if there was no answer (refused, reset, 30 s of silence); every status is an answer
 */
export type Request = (
  method: string,
  path: string,
  body?: unknown,
  how?: CallOptions,
) => Promise<ApiResponse>;

/** A Request with the address and the credentials of a kubeconfig file, of whatever kind they are. */
export function createRequest(kubeconfigPath: string): Request {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfigPath);
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) {
    throw new Error(`${kubeconfigPath} has no current cluster`);
  }
  return async (method, path, body, how) => {
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    return send(server + path, { ...options, method, agent: false }, body, how);
  };
}

/** One HTTPS call as described at Request; `options` hold method, trust and credentials. */
export async function send(
  url: string,
  options: RequestOptions,
  body?: unknown,
  how: CallOptions = {},
): Promise<ApiResponse> {
  const { contentType = 'application/json', accept = 'application/json' } = how;
  const headers = { ...options.headers, accept, 'content-type': contentType };
  const signal = options.signal ?? AbortSignal.timeout(30_000);
  const { promise, resolve, reject } = Promise.withResolvers<ApiResponse>();
  const outgoing = httpsRequest(url, { ...options, headers, signal }, (response) => {
    const status = response.statusCode ?? 0;
    const warnings = (response.headersDistinct['warning'] ?? []).map(parseWarning);
    text(response).then((body) => resolve({ status, body: parseBody(body), warnings }), reject);
  });
  outgoing.on('error', reject).end(body === undefined ? undefined : JSON.stringify(body));
  return promise;
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

// `299 - "text"`, where `"` and `\` in the text stand behind a `\` (RFC 7234, 5.5).
function parseWarning(header: string): string {
  return header.replace(/^\d{3} \S+ "(.*)"$/, '$1').replace(/\\(.)/g, '$1');
}
