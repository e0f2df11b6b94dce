// Lists pods in responses of bounded size, and deletes them.
import { maxObjectBytes } from './bounded-http.ts';
import type { ClusterConfig } from './client.ts';
import { KubeError } from './errors.ts';
import { type Page, parsePage } from './list.ts';
import { type GetRequest, getText, sendJson } from './request.ts';
import { getObjectPath, getResourcePath } from './resource.ts';

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
  const path = getResourcePath('pods', namespace);
  for (let requests = 1; requests <= maxPages; requests += 1) {
    const query = { fieldSelector: unfinished, ...pageQuery(limit, continueToken) };
    const page = await fetchPage(config, { path, query, operation, signal }, maxPageBytes);
    if (page === undefined && limit === 1) {
      throw new KubeError({ code: 'unknown', operation, detail: 'a pod is too large' });
    }
    if (page === undefined) {
      limit = shrinkLimit(limit);
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

/**
 * Lists the pending pods of all namespaces, page by page, with one page in memory at a time. The first request is answered from
 * the API server's watch cache. That is cheap in a cluster with many pods, and may miss changes of the last moments. If the
 * response is too large, the list is read from etcd in smaller pages.
 * @param onPage called with the pods of each page, as the API server sent them; the next page is requested when it has ended
 * @param signal aborts the list, as a failure
 * @throws {KubeError} with code `forbidden` without permission to list pods, `gone` if the list takes longer than the API server
 *   keeps its version
 */
export async function listPendingPods(
  config: ClusterConfig,
  onPage: (pods: readonly unknown[]) => void | Promise<void>,
  signal: AbortSignal,
  limits: Partial<Pick<PodListLimits, 'pageSize' | 'maxPageBytes'>> = {},
): Promise<void> {
  const { pageSize, maxPageBytes } = { ...defaultLimits, ...limits };
  const operation = 'list pending pods';
  const path = getResourcePath('pods');
  let next: PendingPage = { limit: pageSize, isCached: true, continueToken: undefined };
  for (;;) {
    const { limit, isCached, continueToken } = next;
    const query = {
      fieldSelector: 'status.phase=Pending',
      ...(isCached && { resourceVersion: '0' }),
      ...pageQuery(limit, continueToken),
    };
    // From its cache, the API server may return more pods than the limit.
    const maxBytes = limit > 1 || isCached ? maxPageBytes : maxObjectBytes;
    const page = await fetchPage(config, { path, query, operation, signal }, maxBytes);
    if (page === undefined) {
      next = shrinkPage(next, operation);
      continue;
    }
    await onPage(page.objects);
    if (page.continueToken === undefined) {
      return;
    }
    const grown = Math.min(pageSize, limit * pageSizeFactor);
    next = { limit: grown, isCached: false, continueToken: page.continueToken };
  }
}

/**
 * Lists the running pods of all namespaces, page by page, with one page in memory at a time, until a limit is reached.
 * @param onPage called with the pods of each page, as the API server sent them
 * @param signal aborts the list, as a failure
 * @returns whether the list is complete: neither `maxPods` nor `timeoutMs` was reached, and no pod was too large to be read
 * @throws {KubeError} with code `forbidden` without permission to list pods
 */
export async function listRunningPods(
  config: ClusterConfig,
  onPage: (pods: readonly unknown[]) => void | Promise<void>,
  signal: AbortSignal,
  { pageSize, maxPods, timeoutMs }: RunningPodLimits = defaultRunningPodLimits,
): Promise<boolean> {
  const { maxPageBytes } = defaultLimits;
  const request = { path: getResourcePath('pods'), operation: 'list running pods', signal };
  const deadline = performance.now() + timeoutMs;
  let continueToken: string | undefined;
  let limit = pageSize;
  let listed = 0;
  while (listed < maxPods && performance.now() < deadline) {
    const query = { fieldSelector: 'status.phase=Running', ...pageQuery(limit, continueToken) };
    const page = await fetchPage(config, { ...request, query }, limit > 1 ? maxPageBytes : maxObjectBytes);
    if (page === undefined && limit === 1) {
      return false; // no page with this pod is small enough
    }
    if (page === undefined) {
      limit = shrinkLimit(limit);
      continue;
    }
    await onPage(page.objects);
    if (page.continueToken === undefined) {
      return true;
    }
    listed += page.objects.length;
    limit = Math.min(pageSize, limit * pageSizeFactor);
    continueToken = page.continueToken;
  }
  return false;
}

/** Limits of a list of running pods. */
interface RunningPodLimits {
  readonly pageSize: number;
  readonly maxPods: number;
  readonly timeoutMs: number;
}

/** A page of 250 pods of usual size has about 2 MB, and 20,000 pods are listed within two seconds. */
const defaultRunningPodLimits: RunningPodLimits = { pageSize: 250, maxPods: 20_000, timeoutMs: 2_500 };

/** The next request for pending pods. */
interface PendingPage {
  readonly limit: number;
  /** Whether the API server may answer from its cache. */
  readonly isCached: boolean;
  readonly continueToken: string | undefined;
}

/** What to request instead of a page that is too large. */
function shrinkPage(page: PendingPage, operation: string): PendingPage {
  if (page.isCached) {
    return { ...page, isCached: false };
  }
  if (page.limit === 1) {
    throw new KubeError({ code: 'unknown', operation, detail: 'a pod is too large' });
  }
  return { ...page, limit: shrinkLimit(page.limit) };
}

/** Finished pods pull no images, and there may be thousands of them. */
const unfinished = 'status.phase!=Succeeded,status.phase!=Failed';

/** By how much pages become smaller if pods are large. */
const pageSizeFactor = 8;

function shrinkLimit(limit: number): number {
  return Math.max(1, Math.floor(limit / pageSizeFactor));
}

function pageQuery(limit: number, continueToken: string | undefined): Record<string, string> {
  return { limit: String(limit), ...(continueToken !== undefined && { continue: continueToken }) };
}

/** @returns undefined if the page is too large */
async function fetchPage(
  config: ClusterConfig,
  request: Omit<GetRequest, 'accept'>,
  maxBytes: number,
): Promise<Page | undefined> {
  const { operation } = request;
  try {
    return parsePage(await getText(config, { ...request, accept: 'application/json' }, maxBytes), operation);
  } catch (error) {
    if (error instanceof KubeError && error.code === 'too-large') {
      return undefined;
    }
    throw error;
  }
}

/** The version of a pod that a caller decided about. */
interface PodVersion {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
}

/** Deletes pods. Every failure is a {@link KubeError}. */
export interface PodApi {
  /** @returns false if the pod has changed since that version, or does not exist any more */
  delete(pod: PodVersion): Promise<boolean>;
}

export function createPodApi(config: ClusterConfig): PodApi {
  return {
    delete: async ({ namespace, name, uid, resourceVersion }) => {
      try {
        await sendJson(config, {
          method: 'DELETE',
          path: getObjectPath('pods', namespace, name),
          body: { preconditions: { uid, resourceVersion } },
          operation: `delete pod ${namespace}/${name}`,
        });
        return true;
      } catch (error) {
        if (error instanceof KubeError && (error.code === 'conflict' || error.code === 'not-found')) {
          return false;
        }
        throw error;
      }
    },
  };
}
