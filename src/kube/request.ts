import { HttpMethod, RequestContext, type ResponseContext } from '@kubernetes/client-node';
import { readText } from './bounded-http.ts';
import type { ClusterConfig } from './client.ts';
import { createStatusError, KubeError, toKubeError } from './errors.ts';

/** A GET that client-node's generated calls cannot make: metadata only, or streaming. */
export interface GetRequest {
  path: string;
  query: Record<string, string>;
  accept: string;
  /** Ends the request, as a failure. A request that is no watch also ends after the config's timeout. */
  signal: AbortSignal;
  /** For errors: what is tried, on what. */
  operation: string;
}

/**
 * Sends a GET and gives the answer if its status is 200, its body unread.
 *
 * @throws {KubeError} for any other status, and where no answer came
 */
export async function sendGet(config: ClusterConfig, request: GetRequest): Promise<ResponseContext> {
  const { path, query, accept, signal, operation } = request;
  try {
    const context = new RequestContext(`${config.getCurrentCluster()?.server}${path}`, HttpMethod.GET);
    for (const [name, value] of Object.entries(query)) context.setQueryParam(name, value);
    context.setHeaderParam('Accept', accept);
    context.setSignal(signal);
    await config.applySecurityAuthentication(context);
    const response = await config.http.send(context).toPromise();
    if (response.httpStatusCode === 200) return response;
    throw createStatusError(response.httpStatusCode, await response.body.text(), operation);
  } catch (error) {
    throw toKubeError(error, operation);
  }
}

/**
 * As {@link sendGet}, with the answer's body.
 *
 * @throws {KubeError} `too-large` where it is longer than the limit
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

/** Parses JSON from the API server. @throws {KubeError} `unknown` where it is none */
export function parseJson(text: string, operation: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new KubeError({ code: 'unknown', operation, detail: 'the response is not JSON' });
  }
}
