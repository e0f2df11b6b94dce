import { isObject } from '../util/json.ts';
import { maxObjectBytes } from './bounded-http.ts';
import type { ClusterConfig } from './client.ts';
import { KubeError } from './errors.ts';
import { createOnceReporter, getObjectIdentity } from './object-error.ts';
import { getText, parseJson } from './request.ts';
import type { ObjectIdentity, Resource } from './resource.ts';
import { getMetadata } from './resource.ts';

/** All objects of a resource, as of one resourceVersion. */
export interface ListResult<T> {
  items: T[];
  /** Where a watch takes over. */
  resourceVersion: string;
}

// 10,000 Secrets in one answer stall the event loop for a third of a second; a page of 500 for a few
// milliseconds. It is also the page size of kubectl and client-go.
const defaultPageSize = 500;

// A page is read into memory as a whole, and parsed it takes several times its length. 500 objects of usual size take
// 1 MB. Where tenants store larger ones, the pages get shorter, down to single objects, which have a limit of their own.
const maxPageBytes = 8 * 1024 * 1024;
const pageSizeFactor = 5;

/** One answer of a list. */
export interface Page {
  objects: readonly unknown[];
  resourceVersion: string;
  /** Where the next page starts; undefined: this is the last one. */
  continueToken: string | undefined;
}

/** Reads one answer of a list. @throws {KubeError} `unknown` where it is none */
export function parsePage(text: string, operation: string): Page {
  const body = parseJson(text, operation);
  const { resourceVersion, continue: next } = getMetadata(body);
  // the API server writes an empty list of metadata as null (a nil slice in Go)
  const objects: unknown = isObject(body) ? (body['items'] ?? []) : undefined;
  if (!Array.isArray(objects) || typeof resourceVersion !== 'string') {
    throw new KubeError({ code: 'unknown', operation, detail: 'the response is not a list' });
  }
  return {
    objects,
    resourceVersion,
    continueToken: typeof next === 'string' && next !== '' ? next : undefined,
  };
}

/** What becomes of the objects of a list. Neither may throw. */
export interface ListHandlers<T> {
  /** Takes an object as its page comes; false: it is not to be among the items. */
  take(item: T, identity: ObjectIdentity): boolean;
  /** An object of which `item` threw. */
  reject(identity: ObjectIdentity, cause: unknown): void;
}

/** Takes all objects, and reports those that cannot be read on stderr: for commands that list once. */
function createDefaultHandlers<T>(resource: Resource<T>): ListHandlers<T> {
  return { take: () => true, reject: createOnceReporter(resource, (error) => process.emitWarning(error)) };
}

/**
 * Lists a resource page by page. All pages are of one moment: the API server sees to it, or answers 410. Between two of
 * them the event loop gets to other work. An object that cannot be read is left out.
 *
 * @param signal ends it, as a failure
 * @throws {KubeError} `gone` where a page could not be continued: start over
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
      if (item !== undefined && handlers.take(item, identity)) items.push(item);
    }
    if (page.continueToken === undefined) return { items, resourceVersion: page.resourceVersion };
    next = page.continueToken;
    limit = Math.min(defaultPageSize, limit * pageSizeFactor);
  }
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
    if (limit > 1 && error instanceof KubeError && error.code === 'too-large') return 'too-large';
    throw error;
  }
}
