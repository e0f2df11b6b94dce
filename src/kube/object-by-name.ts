// Reads one object by its name, with the right to get or to list it.
import type { ClusterConfig } from './client.ts';
import { KubeError } from './errors.ts';
import { parsePage } from './list.ts';
import { type GetRequest, getText, parseJson, undefinedIfNotFound } from './request.ts';
import { acceptObjects, getResourcePath } from './resource.ts';

/** Where an object is. */
export interface ObjectLocation {
  /** Path of its resource, such as `/api/v1/namespaces/shop/pods`. */
  readonly path: string;
  readonly name: string;
  /** Its name in errors, such as `Pod shop/cart`. */
  readonly noun: string;
}

/** Maximum size of an object as JSON in bytes: that of a page of pods. */
const maxBytes = 4 * 1024 * 1024;

export function locatePod(namespace: string, name: string): ObjectLocation {
  return { path: getResourcePath('pods', namespace), name, noun: `Pod ${namespace}/${name}` };
}

export function locateNamespace(name: string): ObjectLocation {
  return { path: getResourcePath('namespaces'), name, noun: `Namespace ${name}` };
}

export function locateNode(name: string): ObjectLocation {
  return { path: getResourcePath('nodes'), name, noun: `Node ${name}` };
}

export function locateServiceAccount(namespace: string, name: string): ObjectLocation {
  return {
    path: getResourcePath('serviceaccounts', namespace),
    name,
    noun: `ServiceAccount ${namespace}/${name}`,
  };
}

/**
 * Reads an object. Without the right to get it, lists it, because the program may list pods and namespaces and not get them.
 * @returns the object as the API server sent it; undefined if it does not exist
 * @throws {KubeError} with code `forbidden` if neither is allowed
 */
export async function readByName(
  config: ClusterConfig,
  { path, name, noun }: ObjectLocation,
  signal: AbortSignal,
): Promise<unknown> {
  const operation = `get ${noun}`;
  const request: GetRequest = {
    path: `${path}/${encodeURIComponent(name)}`,
    query: {},
    accept: acceptObjects.list,
    signal,
    operation,
  };
  try {
    return await undefinedIfNotFound(async () =>
      parseJson(await getText(config, request, maxBytes), operation),
    );
  } catch (error) {
    if (!(error instanceof KubeError) || error.code !== 'forbidden') {
      throw error;
    }
  }
  const query = { fieldSelector: `metadata.name=${name}`, limit: '1' };
  return parsePage(await getText(config, { ...request, path, query }, maxBytes), operation).objects[0];
}
