// Lists the pods of one namespace, in answers of bounded size.
import type { ClusterConfig } from './client.ts';
import { KubeError } from './errors.ts';
import { type Page, readPage } from './list.ts';
import { getText } from './request.ts';

/** Bounds of one list. What exceeds them fails as a whole: half a list says nothing about pods that do not exist. */
export interface PodListLimits {
  /** Pods in one answer, at first: fewer where pods are large. */
  readonly pageSize: number;
  /** Bytes of one answer. A pod has at most about 1.5 MiB in etcd; 4 MiB of JSON are parsed in some 30 ms. */
  readonly pageBytes: number;
  /** Answers of one list. */
  readonly pages: number;
  /** Milliseconds that a list may take. */
  readonly timeoutMs: number;
}

const defaultLimits: PodListLimits = {
  pageSize: 100,
  pageBytes: 4 * 1024 * 1024,
  pages: 200,
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
  const { pageSize, pageBytes, pages, timeoutMs } = { ...defaultLimits, ...limits };
  const operation = `list pods of namespace ${namespace}`;
  const stop = AbortSignal.timeout(timeoutMs);
  let limit = pageSize;
  let next: string | undefined;
  for (let answers = 1; answers <= pages; answers += 1) {
    const page = await getPage(config, { namespace, limit, next, operation, stop, pageBytes });
    if (page === undefined && limit === 1) {
      throw new KubeError({ code: 'unknown', operation, detail: 'a pod is too large' });
    }
    if (page === undefined) {
      limit = Math.max(1, Math.floor(limit / 8));
      continue;
    }
    page.objects.forEach(onPod);
    if (page.next === undefined) {
      return;
    }
    next = page.next;
  }
  throw new KubeError({ code: 'unknown', operation, detail: `more than ${pages} pages` });
}

interface PageRequest {
  readonly namespace: string;
  readonly limit: number;
  readonly next: string | undefined;
  readonly operation: string;
  readonly stop: AbortSignal;
  readonly pageBytes: number;
}

/** @returns undefined where the answer has more bytes than it may */
async function getPage(config: ClusterConfig, request: PageRequest): Promise<Page | undefined> {
  const { namespace, limit, next, operation, stop, pageBytes } = request;
  const query = {
    // pods that have ended pull nothing any more, and there may be thousands of them
    fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed',
    limit: String(limit),
    ...(next !== undefined && { continue: next }),
  };
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
  const asked = { path, query, accept: 'application/json', signal: stop, operation };
  try {
    return readPage(await getText(config, asked, pageBytes), operation);
  } catch (error) {
    if (error instanceof KubeError && error.code === 'too-large') {
      return undefined;
    }
    throw error;
  }
}
