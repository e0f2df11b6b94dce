// Lists the pods of one namespace, in responses of bounded size.
import type { ClusterConfig } from './client.ts';
import { KubeError } from './errors.ts';
import { type Page, parsePage } from './list.ts';
import { getText } from './request.ts';

/** Limits of one list. A list that exceeds them fails, because a partial list does not show which pods do not exist. */
export interface PodListLimits {
  /** Initial number of pods per page; fewer if pods are large. */
  readonly pageSize: number;
  /** Maximum size of a page in bytes. A pod takes at most about 1.5 MiB in etcd; 4 MiB of JSON are parsed in about 30 ms. */
  readonly maxPageBytes: number;
  /** Maximum number of requests per list. */
  readonly maxPages: number;
  /** Timeout of the list, in ms. */
  readonly timeoutMs: number;
}

const defaultLimits: PodListLimits = {
  pageSize: 100,
  maxPageBytes: 4 * 1024 * 1024,
  maxPages: 200,
  timeoutMs: 20_000,
};

/**
 * Lists the pods of a namespace that have not finished. Fetches whole objects, because only the spec names images; they are not
 * kept. The list is consistent: it contains every pod that was stored before the call.
 * @param onPod called with each pod as the API server sent it
 * @throws {KubeError} with code `forbidden` without permission to list pods, `unknown` if the limits are exceeded
 */
export async function listPods(
  config: ClusterConfig,
  namespace: string,
  onPod: (pod: unknown) => void,
  limits: Partial<PodListLimits> = {},
): Promise<void> {
  const { pageSize, maxPageBytes, maxPages, timeoutMs } = { ...defaultLimits, ...limits };
  const operation = `list pods of namespace ${namespace}`;
  const signal = AbortSignal.timeout(timeoutMs);
  let limit = pageSize;
  let continueToken: string | undefined;
  for (let requests = 1; requests <= maxPages; requests += 1) {
    const page = await fetchPage(config, {
      namespace,
      limit,
      continueToken,
      operation,
      signal,
      maxPageBytes,
    });
    if (page === undefined && limit === 1) {
      throw new KubeError({ code: 'unknown', operation, detail: 'a pod is too large' });
    }
    if (page === undefined) {
      limit = Math.max(1, Math.floor(limit / 8));
      continue;
    }
    page.objects.forEach(onPod);
    if (page.continueToken === undefined) {
      return;
    }
    continueToken = page.continueToken;
  }
  throw new KubeError({ code: 'unknown', operation, detail: `more than ${maxPages} pages` });
}

interface PageRequest {
  readonly namespace: string;
  readonly limit: number;
  readonly continueToken: string | undefined;
  readonly operation: string;
  readonly signal: AbortSignal;
  readonly maxPageBytes: number;
}

/** @returns undefined if the page is too large */
async function fetchPage(config: ClusterConfig, request: PageRequest): Promise<Page | undefined> {
  const { namespace, limit, continueToken, operation, signal, maxPageBytes } = request;
  const query = {
    // Finished pods pull no images, and there may be thousands of them.
    fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed',
    limit: String(limit),
    ...(continueToken !== undefined && { continue: continueToken }),
  };
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
  const textRequest = { path, query, accept: 'application/json', signal, operation };
  try {
    return parsePage(await getText(config, textRequest, maxPageBytes), operation);
  } catch (error) {
    if (error instanceof KubeError && error.code === 'too-large') {
      return undefined;
    }
    throw error;
  }
}
