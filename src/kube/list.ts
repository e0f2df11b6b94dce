import type { ClusterConfig } from './config.ts';
import { KubeError } from './errors.ts';
import { metadataOf } from './metadata.ts';
import { isRecord } from './records.ts';
import { getText, parseJson } from './request.ts';
import type { Resource } from './resource.ts';

/** All objects of a resource, as of one resourceVersion. */
export interface Listed<T> {
  items: T[];
  /** Where a watch takes over. */
  resourceVersion: string;
}

// 10,000 Secrets in one answer stall the event loop for a third of a second; a page of 500 for a few
// milliseconds. It is also the page size of kubectl and client-go.
const PAGE = 500;

interface Page<T> extends Listed<T> {
  next: string | undefined;
}

function page<T>(text: string, resource: Resource<T>, operation: string): Page<T> {
  const body = parseJson(text, operation);
  const { resourceVersion, continue: next } = metadataOf(body);
  // the API server writes an empty list of metadata as null (a nil slice in Go)
  const items: unknown = isRecord(body) ? (body['items'] ?? []) : undefined;
  if (!Array.isArray(items) || typeof resourceVersion !== 'string') {
    throw new KubeError({ code: 'unknown', operation, detail: 'the answer is no list' });
  }
  return {
    items: items.map((object) => resource.item(object)).filter((item) => item !== undefined),
    resourceVersion,
    next: typeof next === 'string' && next !== '' ? next : undefined,
  };
}

/**
 * Lists a resource page by page. All pages are of one moment: the API server sees to it, or answers 410.
 *
 * @param stop ends it, as a failure
 * @param onPage told of each page as it comes; between two of them the event loop gets to other work
 * @throws {KubeError} `gone` where a page could not be continued: start over
 */
export async function listAll<T>(
  config: ClusterConfig,
  resource: Resource<T>,
  stop: AbortSignal,
  onPage: (items: readonly T[]) => void = () => undefined,
): Promise<Listed<T>> {
  const operation = `list ${resource.noun}`;
  const { path, accept } = resource;
  const items: T[] = [];
  let next: string | undefined;
  let resourceVersion: string;
  do {
    const query = { ...resource.query, limit: String(PAGE), ...(next !== undefined && { continue: next }) };
    const signal = AbortSignal.any([stop, AbortSignal.timeout(config.requestTimeoutMs)]);
    const request = { path, query, accept: accept.list, signal, operation };
    const got = page(await getText(config, request), resource, operation);
    for (const item of got.items) items.push(item);
    onPage(got.items);
    ({ next, resourceVersion } = got);
  } while (next !== undefined);
  return { items, resourceVersion };
}
