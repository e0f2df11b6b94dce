// Which limits apply to a request to the API server, decided by its method and URL.
import { HttpMethod } from '@kubernetes/client-node';

/** What kind of request it is. */
export interface CallKind {
  /** A watch lasts. It has connections of its own, and its reader bounds its time. */
  readonly isWatch: boolean;
  /** It may change something, so admission webhooks may delay it. */
  readonly isWrite: boolean;
  /** Calls with the same key share slots: reads, or writes, in one namespace or of one cluster-wide path. */
  readonly key: string;
}

/** How long calls may take, response included, in ms. */
export interface CallTimeouts {
  readonly requestTimeoutMs: number;
  readonly writeTimeoutMs: number;
}

/**
 * The default of {@link CallTimeouts.writeTimeoutMs}. The API server waits up to 30 s for a webhook that fails open before it
 * writes (`timeoutSeconds` of a webhook), and about 34 s for all webhooks of a request (`requestTimeoutUpperBound` in
 * `k8s.io/apiserver/pkg/endpoints/handlers/rest.go`). A client that gives up earlier never gets anything written.
 */
export const defaultWriteTimeoutMs = 40_000;

/** Calls that the API server runs no admission for. */
const readMethods: ReadonlySet<string> = new Set([HttpMethod.GET, HttpMethod.HEAD]);

export function classifyCall(method: string, url: string): CallKind {
  const { pathname, searchParams } = new URL(url);
  const isWrite = !readMethods.has(method);
  const namespace = /\/namespaces\/([^/]+)\//.exec(pathname)?.[1];
  return {
    isWatch: searchParams.get('watch') === 'true',
    isWrite,
    key: `${isWrite ? 'write' : 'read'} ${namespace ?? pathname}`,
  };
}

export function getCallTimeoutMs(
  { isWrite }: CallKind,
  { requestTimeoutMs, writeTimeoutMs }: CallTimeouts,
): number {
  return isWrite ? writeTimeoutMs : requestTimeoutMs;
}
