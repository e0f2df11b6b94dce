import { isObject } from '../util/json.ts';
import { MAX_OBJECT_BYTES } from './bounded-http.ts';
import type { ClusterConfig } from './client.ts';
import { KubeError } from './errors.ts';
import { identityOf, reportedOnce } from './object-error.ts';
import { getText, parseJson } from './request.ts';
import type { ObjectIdentity, Resource } from './resource.ts';
import { metadataOf } from './resource.ts';

/** All objects of a resource, as of one resourceVersion. */
export interface Listed<T> {
  items: T[];
  /** Where a watch takes over. */
  resourceVersion: string;
}

// 10,000 Secrets in one answer stall the event loop for a third of a second; a page of 500 for a few
// milliseconds. It is also the page size of kubectl and client-go.
const PAGE = 500;

// A page is read into memory as a whole, and parsed it takes several times its length. 500 objects of usual size take
// 1 MB. Where tenants store larger ones, the pages get shorter, down to single objects, which have a limit of their own.
const MAX_PAGE_BYTES = 8 * 1024 * 1024;
const SHORTER_BY = 5;

/** One answer of a list. */
export interface Page {
  objects: readonly unknown[];
  resourceVersion: string;
  /** Where the next page starts; undefined: this is the last one. */
  next: string | undefined;
}

/** Reads one answer of a list. @throws {KubeError} `unknown` where it is none */
export function readPage(text: string, operation: string): Page {
  const body = parseJson(text, operation);
  const { resourceVersion, continue: next } = metadataOf(body);
  // the API server writes an empty list of metadata as null (a nil slice in Go)
  const objects: unknown = isObject(body) ? (body['items'] ?? []) : undefined;
  if (!Array.isArray(objects) || typeof resourceVersion !== 'string') {
    throw new KubeError({ code: 'unknown', operation, detail: 'the response is not a list' });
  }
  return { objects, resourceVersion, next: typeof next === 'string' && next !== '' ? next : undefined };
}

/** What becomes of the objects of a list. Neither may throw. */
export interface ListHandlers<T> {
  /** Takes an object as its page comes; false: it is not to be among the items. */
  take(item: T, identity: ObjectIdentity): boolean;
  /** An object of which `item` threw. */
  reject(identity: ObjectIdentity, cause: unknown): void;
}

/** Takes all objects, and reports those that cannot be read on stderr: for commands that list once. */
function takeAll<T>(resource: Resource<T>): ListHandlers<T> {
  return { take: () => true, reject: reportedOnce(resource, (error) => process.emitWarning(error)) };
}

/**
 * Lists a resource page by page. All pages are of one moment: the API server sees to it, or answers 410. Between two of
 * them the event loop gets to other work. An object that cannot be read is left out.
 *
 * @param stop ends it, as a failure
 * @throws {KubeError} `gone` where a page could not be continued: start over
 */
export async function listAll<T>(
  config: ClusterConfig,
  resource: Resource<T>,
  stop: AbortSignal,
  handlers: ListHandlers<T> = takeAll(resource),
): Promise<Listed<T>> {
  const items: T[] = [];
  let next: string | undefined;
  let limit = PAGE;
  for (;;) {
    const got = await getPage(config, resource, stop, limit, next);
    if (got === 'too-large') {
      limit = Math.max(1, Math.floor(limit / SHORTER_BY));
      continue;
    }
    for (const object of got.objects) {
      const identity = identityOf(object);
      const item = itemOf(object, identity, resource, handlers);
      if (item !== undefined && handlers.take(item, identity)) items.push(item);
    }
    if (got.next === undefined) return { items, resourceVersion: got.resourceVersion };
    next = got.next;
    limit = Math.min(PAGE, limit * SHORTER_BY);
  }
}

function itemOf<T>(
  object: unknown,
  identity: ObjectIdentity,
  resource: Resource<T>,
  handlers: ListHandlers<T>,
): T | undefined {
  try {
    return resource.item(object);
  } catch (cause) {
    handlers.reject(identity, cause);
    return undefined;
  }
}

async function getPage(
  config: ClusterConfig,
  { noun, path, query, accept }: Resource<unknown>,
  stop: AbortSignal,
  limit: number,
  next: string | undefined,
): Promise<Page | 'too-large'> {
  const operation = `list ${noun}`;
  const paged = { ...query, limit: String(limit), ...(next !== undefined && { continue: next }) };
  const request = { path, query: paged, accept: accept.list, signal: stop, operation };
  try {
    return readPage(await getText(config, request, limit > 1 ? MAX_PAGE_BYTES : MAX_OBJECT_BYTES), operation);
  } catch (error) {
    if (limit > 1 && error instanceof KubeError && error.code === 'too-large') return 'too-large';
    throw error;
  }
}
