// Lists the pods of one namespace, in answers of bounded size.
import type { ClusterConfig } from './client.ts';
import { KubeError } from './errors.ts';
import { type Page, parsePage } from './list.ts';
import { getText } from './request.ts';

/** Bounds of one list. What exceeds them fails as a whole: half a list says nothing about pods that do not exist. */
export interface PodListLimits {
  /** Pods in one answer, at first: fewer where pods are large. */
  readonly pageSize: number;
  /** Bytes of one answer. A pod has at most about 1.5 MiB in etcd; 4 MiB of JSON are parsed in some 30 ms. */
  readonly maxPageBytes: number;
  /** Answers of one list. */
  readonly maxPages: number;
  /** Milliseconds that a list may take. */
  readonly timeoutMs: number;
}

const defaultLimits: PodListLimits = {
  pageSize: 100,
  maxPageBytes: 4 * 1024 * 1024,
  maxPages: 200,
  timeoutMs: 20_000,
};

/**
 * Lists the pods of a namespace that have not ended. Whole objects, because only the spec names images; each is passed
 * on and not kept. The list is consistent: it holds every pod that was stored before the call.
 *
 * @param onPod receives each pod as the API server sent it
 * @throws {KubeError} `forbidden` without the right to list pods; `unknown` where the limits are exceeded
 */
export async function listPods(
  config: ClusterConfig,
  namespace: string,
  onPod: (pod: unknown) => void,
  limits: Partial<PodListLimits> = {},
): Promise<void> {
  const { pageSize, maxPageBytes, maxPages, timeoutMs } = { ...defaultLimits, ...limits };
  const operation = `list pods of namespace ${namespace}`;
  const stop = AbortSignal.timeout(timeoutMs);
  let limit = pageSize;
  let next: string | undefined;
  for (let requests = 1; requests <= maxPages; requests += 1) {
    const page = await fetchPage(config, { namespace, limit, next, operation, signal: stop, maxPageBytes });
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
    next = page.continueToken;
  }
  throw new KubeError({ code: 'unknown', operation, detail: `more than ${maxPages} pages` });
}

interface PageRequest {
  readonly namespace: string;
  readonly limit: number;
  readonly next: string | undefined;
  readonly operation: string;
  readonly signal: AbortSignal;
  readonly maxPageBytes: number;
}

/** @returns undefined where the answer has more bytes than it may */
async function fetchPage(config: ClusterConfig, request: PageRequest): Promise<Page | undefined> {
  const { namespace, limit, next, operation, signal, maxPageBytes } = request;
  const query = {
    // pods that have ended pull nothing any more, and there may be thousands of them
    fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed',
    limit: String(limit),
    ...(next !== undefined && { continue: next }),
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
