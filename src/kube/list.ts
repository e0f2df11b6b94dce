import type { ClusterConfig } from './config.ts';
import { KubeError } from './errors.ts';
import {
  ACCEPT_METADATA_LIST,
  isRecord,
  metadataOf,
  type SecretMetadata,
  secretMetadata,
} from './metadata.ts';
import { getText, parseJson } from './request.ts';

/** All Secrets of one name, as of one resourceVersion. */
export interface SecretList {
  items: SecretMetadata[];
  /** Where a watch takes over. */
  resourceVersion: string;
}

// 10,000 Secrets in one answer stall the event loop for a third of a second; a page of 500 for a few
// milliseconds. It is also the page size of kubectl and client-go.
const PAGE = 500;

interface Page extends SecretList {
  next: string | undefined;
}

function page(text: string, operation: string): Page {
  const body = parseJson(text, operation);
  const { resourceVersion, continue: next } = metadataOf(body);
  // the API server writes an empty list of metadata as null (a nil slice in Go)
  const items: unknown = isRecord(body) ? (body['items'] ?? []) : undefined;
  if (!Array.isArray(items) || typeof resourceVersion !== 'string') {
    throw new KubeError({ code: 'unknown', operation, detail: 'the answer is no list' });
  }
  return {
    items: items.map(secretMetadata).filter((item) => item !== undefined),
    resourceVersion,
    next: typeof next === 'string' && next !== '' ? next : undefined,
  };
}

/**
 * Lists the metadata of the Secrets of this name in all namespaces, page by page. All pages are of one moment:
 * the API server sees to it, or answers 410.
 *
 * @param stop ends it, as a failure
 * @throws {KubeError} `gone` where a page could not be continued: start over
 */
export async function listSecretMetadata(
  config: ClusterConfig,
  name: string,
  stop: AbortSignal,
): Promise<SecretList> {
  const operation = `list Secrets named ${name}`;
  const items: SecretMetadata[] = [];
  let next: string | undefined;
  let resourceVersion: string;
  do {
    const query = {
      fieldSelector: `metadata.name=${name}`,
      limit: String(PAGE),
      ...(next !== undefined && { continue: next }),
    };
    const signal = AbortSignal.any([stop, AbortSignal.timeout(config.requestTimeoutMs)]);
    const request = { path: '/api/v1/secrets', query, accept: ACCEPT_METADATA_LIST, signal, operation };
    const got = page(await getText(config, request), operation);
    for (const item of got.items) items.push(item);
    ({ next, resourceVersion } = got);
  } while (next !== undefined);
  return { items, resourceVersion };
}
