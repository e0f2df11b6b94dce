// Sends requests to the API server and converts their failures.
import { HttpMethod, RequestContext, type ResponseContext } from '@kubernetes/client-node';
import { maxObjectBytes, readText } from './bounded-http.ts';
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
 * The formats of a patch. See
 * https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply
 */
export const patchTypes = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  apply: 'application/apply-patch+yaml',
} as const;

/** A request for one object. */
export interface JsonRequest {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** The format of the body. Required for a PATCH. */
  readonly contentType?: (typeof patchTypes)[keyof typeof patchTypes];
  /** The operation and its object, for errors. */
  readonly operation: string;
}

/**
 * Sends a GET request and returns the response with its body unread.
 * @throws {KubeError} if there is no response, or its status is not 200
 */
export async function sendGet(
  config: ClusterConfig,
  { path, query, accept, signal, operation }: GetRequest,
): Promise<ResponseContext> {
  try {
    const context = createContext(config, HttpMethod.GET, path, query, accept);
    context.setSignal(signal);
    const response = await send(config, context);
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
 * Sends a request for one object, and returns the object in the response as the API server sent it.
 *
 * client-node's generated API classes are not used, because they are a third of the bundle, and convert each object twice.
 * @throws {KubeError} if there is no response, its status is not 2xx, or it is not JSON
 */
export async function sendJson(
  config: ClusterConfig,
  { method, path, query = {}, body, contentType, operation }: JsonRequest,
): Promise<unknown> {
  try {
    const context = createContext(config, HttpMethod[method], path, query, 'application/json');
    if (body !== undefined) {
      context.setHeaderParam('Content-Type', contentType ?? 'application/json');
      context.setBody(JSON.stringify(body));
    }
    const response = await send(config, context);
    const text = await readText(response, maxObjectBytes);
    const status = response.httpStatusCode;
    if (status < 200 || status > 299) {
      throw createStatusError(status, text, operation);
    }
    return parseJson(text, operation);
  } catch (error) {
    throw toKubeError(error, operation);
  }
}

function createContext(
  config: ClusterConfig,
  method: HttpMethod,
  path: string,
  query: Readonly<Record<string, string>>,
  accept: string,
): RequestContext {
  const context = new RequestContext(`${config.getCurrentCluster()?.server}${path}`, method);
  for (const [name, value] of Object.entries(query)) {
    context.setQueryParam(name, value);
  }
  context.setHeaderParam('Accept', accept);
  return context;
}

async function send(config: ClusterConfig, context: RequestContext): Promise<ResponseContext> {
  await config.applySecurityAuthentication(context);
  return await config.http.send(context).toPromise();
}

/**
 * Runs a call on one object, and returns undefined if the object does not exist.
 * @throws {KubeError} as the call, for any other failure
 */
export async function undefinedIfNotFound<T>(call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof KubeError && error.code === 'not-found') {
      return undefined;
    }
    throw error;
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
