// Reads objects of any resource as the API server sends them, in responses of bounded size.
import { maxObjectBytes } from './bounded-http.ts';
import type { ClusterConfig } from './client.ts';
import { listAll } from './list.ts';
import { getText, parseJson, undefinedIfNotFound } from './request.ts';
import { acceptObjects } from './resource.ts';

/** Which object to read. */
export interface ObjectRequest {
  readonly path: string;
  /** The object, for errors, for example `Service shop/web`. */
  readonly noun: string;
}

/**
 * Reads one object.
 * @returns undefined if it does not exist
 * @throws {KubeError} for any other failure
 */
export async function readObject(
  config: ClusterConfig,
  { path, noun }: ObjectRequest,
  signal: AbortSignal,
): Promise<unknown> {
  const operation = `read ${noun}`;
  const request = { path, query: {}, accept: acceptObjects.list, signal, operation };
  return await undefinedIfNotFound(async () =>
    parseJson(await getText(config, request, maxObjectBytes), operation),
  );
}

/** Which objects to list. */
export interface ObjectListRequest extends ObjectRequest {
  /** A label selector as for kubectl. */
  readonly labelSelector?: string;
}

/**
 * Lists objects, and keeps what `parse` returns for each of them.
 * @param parse returns undefined for an object that is not needed; must not throw
 * @throws {KubeError} with code `not-found` if the API server does not know the resource
 */
export async function listObjects<T>(
  config: ClusterConfig,
  { path, noun, labelSelector }: ObjectListRequest,
  parse: (object: unknown) => T | undefined,
  signal: AbortSignal,
): Promise<T[]> {
  const query = labelSelector === undefined ? {} : { labelSelector };
  return (await listAll(config, { noun, path, query, accept: acceptObjects, parseItem: parse }, signal))
    .items;
}
