// GET requests that client-node's generated code cannot make: metadata only, or streaming.
import { HttpMethod, RequestContext, type ResponseContext } from '@kubernetes/client-node';
import { readText } from './bounded-http.ts';
import type { ClusterConfig } from './client.ts';
import { createStatusError, KubeError, toKubeError } from './errors.ts';

/** A GET request. */
export interface GetRequest {
  path: string;
  query: Record<string, string>;
  accept: string;
  /** Aborts the request, as a failure. A request other than a watch also has the config's timeout. */
  signal: AbortSignal;
  /** The operation and its object, for errors. */
  operation: string;
}

/**
 * Sends a GET request and returns the response with its body unread.
 * @throws {KubeError} if there is no response, or its status is not 200
 */
export async function sendGet(config: ClusterConfig, request: GetRequest): Promise<ResponseContext> {
  const { path, query, accept, signal, operation } = request;
  try {
    const context = new RequestContext(`${config.getCurrentCluster()?.server}${path}`, HttpMethod.GET);
    for (const [name, value] of Object.entries(query)) {
      context.setQueryParam(name, value);
    }
    context.setHeaderParam('Accept', accept);
    context.setSignal(signal);
    await config.applySecurityAuthentication(context);
    const response = await config.http.send(context).toPromise();
    if (response.httpStatusCode === 200) {
      return response;
    }
    throw createStatusError(response.httpStatusCode, await response.body.text(), operation);
  } catch (error) {
    throw toKubeError(error, operation);
  }
}

/**
 * Sends a GET request and returns the response body.
 * @throws {KubeError} as {@link sendGet}, or with code `too-large` if the body exceeds the limit
 */
export async function getText(
  config: ClusterConfig,
  request: GetRequest,
  limitBytes: number,
): Promise<string> {
  const response = await sendGet(config, request);
  try {
    return await readText(response, limitBytes);
  } catch (error) {
    throw toKubeError(error, request.operation);
  }
}

/**
 * Parses JSON from the API server.
 * @throws {KubeError} with code `unknown` if it is not JSON
 */
export function parseJson(text: string, operation: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new KubeError({ code: 'unknown', operation, detail: 'the response is not JSON' });
  }
}
