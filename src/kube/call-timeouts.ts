// Classifies requests to the API server by method and URL, and returns their timeouts.

/** The classification of a request. */
export interface CallKind {
  /** A watch is open-ended. It has a separate connection, and its reader bounds its duration. */
  readonly isWatch: boolean;
  /** Admission webhooks may delay a write. */
  readonly isWrite: boolean;
  /** Calls with the same key share slots: the reads, or the writes, of one namespace or one cluster-wide path. */
  readonly key: string;
}

/** How long calls may take, including the response, in ms. */
export interface CallTimeouts {
  readonly requestTimeoutMs: number;
  readonly writeTimeoutMs: number;
}

/**
 * The default of {@link CallTimeouts.writeTimeoutMs}. Before it writes, the API server waits up to 30 s for a webhook that fails
 * open (`timeoutSeconds` of a webhook), and about 34 s for all webhooks of a request (`requestTimeoutUpperBound` in
 * `k8s.io/apiserver/pkg/endpoints/handlers/rest.go`). With a shorter timeout, a slow webhook would prevent every write.
 */
export const defaultWriteTimeoutMs = 40_000;

/** Methods for which the API server runs no admission. */
const readMethods: ReadonlySet<string> = new Set(['GET', 'HEAD']);

/** Classifies a request. */
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

/** Returns the timeout of a request, in ms. */
export function getCallTimeoutMs(
  { isWrite }: CallKind,
  { requestTimeoutMs, writeTimeoutMs }: CallTimeouts,
): number {
  return isWrite ? writeTimeoutMs : requestTimeoutMs;
}
