// Sends single requests to an API server, without a client library.
import { request as httpsRequest, type RequestOptions } from 'node:https';
import { text } from 'node:stream/consumers';
import { KubeConfig } from '@kubernetes/client-node';

/** A response of the API server. */
export interface ApiResponse {
  readonly status: number;
  /** Parsed if it is JSON, text otherwise. */
  readonly body: unknown;
  /** Warnings of the API server and its webhooks: the texts of the `Warning` headers. */
  readonly warnings: readonly string[];
}

export interface CallOptions {
  /** `application/json` by default; server-side apply needs `application/apply-patch+yaml`. */
  readonly contentType?: string;
  readonly accept?: string;
}

/**
 * Sends one request to the API server, with any path and body, and returns any response.
 * @throws only without a response (connection refused or reset, no response for 30 s), not for an error status
 */
export type Request = (
  method: string,
  path: string,
  body?: unknown,
  callOptions?: CallOptions,
) => Promise<ApiResponse>;

/** Creates a Request with the address and the credentials of a kubeconfig file. */
export function createRequest(kubeconfigPath: string): Request {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfigPath);
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) {
    throw new Error(`${kubeconfigPath} has no current cluster`);
  }
  return async (method, path, body, callOptions) => {
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    return send(server + path, { ...options, method, agent: false }, body, callOptions);
  };
}

/** Sends one HTTPS request like {@link Request}. `options` contain the method, the CA and the credentials. */
export async function send(
  url: string,
  options: RequestOptions,
  body?: unknown,
  callOptions: CallOptions = {},
): Promise<ApiResponse> {
  const { contentType = 'application/json', accept = 'application/json' } = callOptions;
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

// The form is `299 - "text"`, with `\` before each `"` and `\` of the text (RFC 7234, 5.5).
function parseWarning(header: string): string {
  return header.replace(/^\d{3} \S+ "(.*)"$/, '$1').replace(/\\(.)/g, '$1');
}
