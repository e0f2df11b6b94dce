// Lists a resource page by page, in responses of bounded size.
import { isObject } from '../util/json.ts';
import { maxObjectBytes } from './bounded-http.ts';
import type { ClusterConfig } from './client.ts';
import { KubeError } from './errors.ts';
import { createOnceReporter, getObjectIdentity } from './object-error.ts';
import { getText, parseJson } from './request.ts';
import type { ObjectIdentity, Resource } from './resource.ts';
import { getMetadata } from './resource.ts';

/** All objects of a resource at one resourceVersion. */
export interface ListResult<T> {
  items: T[];
  /** The resourceVersion to start a watch from. */
  resourceVersion: string;
}

// Parsing 10,000 Secrets in one response blocks the event loop for a third of a second, a page of 500 for a few ms. It is also
// the page size of kubectl and client-go.
const defaultPageSize = 500;

// A page is held in memory completely, and needs several times its size when parsed. 500 objects of typical size take 1 MB. If
// tenants store larger objects, the pages become shorter, down to single objects, which have a separate limit.
const maxPageBytes = 8 * 1024 * 1024;
const pageSizeFactor = 5;

/** One page of a list. */
export interface Page {
  objects: readonly unknown[];
  resourceVersion: string;
  /** Token for the next page; undefined for the last page. */
  continueToken: string | undefined;
}

/**
 * Parses one page of a list.
 * @throws {KubeError} with code `unknown` if it is not a list
 */
export function parsePage(text: string, operation: string): Page {
  const body = parseJson(text, operation);
  const { resourceVersion, continue: continueToken } = getMetadata(body);
  // The API server encodes an empty metadata list as null (a nil slice in Go).
  const objects: unknown = isObject(body) ? (body['items'] ?? []) : undefined;
  if (!Array.isArray(objects) || typeof resourceVersion !== 'string') {
    throw new KubeError({ code: 'unknown', operation, detail: 'the response is not a list' });
  }
  return {
    objects,
    resourceVersion,
    continueToken: typeof continueToken === 'string' && continueToken !== '' ? continueToken : undefined,
  };
}

/** Callbacks for the objects of a list. They must not throw. */
export interface ListHandlers<T> {
  /** Called for each object as its page arrives. Returns false to leave it out of the items. */
  accept(item: T, identity: ObjectIdentity): boolean;
  /** Called for each object that cannot be parsed. */
  reject(identity: ObjectIdentity, cause: unknown): void;
}

/** Accepts all objects, and emits a process warning for each one that cannot be parsed: for commands that list once. */
function createDefaultHandlers<T>(resource: Resource<T>): ListHandlers<T> {
  return { accept: () => true, reject: createOnceReporter(resource, (error) => process.emitWarning(error)) };
}

/**
 * Lists a resource page by page. The API server guarantees that all pages are of one moment, or responds with 410. Other work
 * can run between two pages. An object that cannot be parsed is skipped.
 * @param signal aborts the list, as a failure
 * @throws {KubeError} with code `gone` if the list cannot be continued and must start over
 */
export async function listAll<T>(
  config: ClusterConfig,
  resource: Resource<T>,
  signal: AbortSignal,
  handlers: ListHandlers<T> = createDefaultHandlers(resource),
): Promise<ListResult<T>> {
  const items: T[] = [];
  let next: string | undefined;
  let limit = defaultPageSize;
  for (;;) {
    const page = await fetchPage(config, resource, signal, limit, next);
    if (page === 'too-large') {
      limit = Math.max(1, Math.floor(limit / pageSizeFactor));
      continue;
    }
    for (const object of page.objects) {
      const identity = getObjectIdentity(object);
      const item = parseItem(object, identity, resource, handlers);
      if (item !== undefined && handlers.accept(item, identity)) {
        items.push(item);
      }
    }
    if (page.continueToken === undefined) {
      return { items, resourceVersion: page.resourceVersion };
    }
    next = page.continueToken;
    limit = Math.min(defaultPageSize, limit * pageSizeFactor);
  }
}

/**
 * Lists a resource page by page as {@link listAll}, and keeps nothing of it.
 * @param onItem called with each item as its page arrives; must not throw
 * @param onInvalid called for each object that cannot be parsed; must not throw
 */
export async function visitAll<T>(
  config: ClusterConfig,
  resource: Resource<T>,
  signal: AbortSignal,
  onItem: (item: T) => void,
  onInvalid: (identity: ObjectIdentity) => void = () => undefined,
): Promise<void> {
  await listAll(config, resource, signal, {
    accept: (item) => {
      onItem(item);
      return false;
    },
    reject: onInvalid,
  });
}

function parseItem<T>(
  object: unknown,
  identity: ObjectIdentity,
  resource: Resource<T>,
  handlers: ListHandlers<T>,
): T | undefined {
  try {
    return resource.parseItem(object);
  } catch (cause) {
    handlers.reject(identity, cause);
    return undefined;
  }
}

async function fetchPage(
  config: ClusterConfig,
  { noun, path, query, accept }: Resource<unknown>,
  signal: AbortSignal,
  limit: number,
  next: string | undefined,
): Promise<Page | 'too-large'> {
  const operation = `list ${noun}`;
  const paged = { ...query, limit: String(limit), ...(next !== undefined && { continue: next }) };
  const request = { path, query: paged, accept: accept.list, signal, operation };
  try {
    return parsePage(await getText(config, request, limit > 1 ? maxPageBytes : maxObjectBytes), operation);
  } catch (error) {
    if (limit > 1 && error instanceof KubeError && error.code === 'too-large') {
      return 'too-large';
    }
    throw error;
  }
}
