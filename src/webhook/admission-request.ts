// Reads and validates AdmissionReviews, and the timeout that the API server sends with them.
import { isObject } from '../util/json.ts';

/** The fields of an AdmissionReview request (admission.k8s.io/v1) that the webhook uses. */
export interface AdmissionRequest {
  readonly uid: string;
  /** `pods` or `pods/ephemeralcontainers`; requests for other resources are admitted unchanged. */
  readonly resource: string;
  readonly operation: string;
  readonly namespace: string;
  readonly dryRun: boolean;
  /** The pod, unvalidated. */
  readonly object: unknown;
  /** The pod before an update, unvalidated; null for a new pod. */
  readonly oldObject: unknown;
}

/** The first field of a body that makes it invalid as an AdmissionReview. */
export interface InvalidReview {
  readonly path: string;
  readonly expected: string;
}

/** Reads a parsed JSON body as an AdmissionReview. Never throws. */
export function parseReview(body: unknown): AdmissionRequest | InvalidReview {
  if (!isObject(body) || body['apiVersion'] !== 'admission.k8s.io/v1' || body['kind'] !== 'AdmissionReview') {
    return { path: 'body', expected: 'an AdmissionReview of admission.k8s.io/v1' };
  }
  const request = body['request'];
  if (!isObject(request)) {
    return { path: 'request', expected: 'an object' };
  }
  const { uid, operation, namespace } = request;
  if (typeof uid !== 'string' || uid === '') {
    return { path: 'request.uid', expected: 'a non-empty string' };
  }
  if (typeof operation !== 'string') {
    return { path: 'request.operation', expected: 'a string' };
  }
  const resource = getResource(request);
  if (resource === undefined) {
    return { path: 'request.resource', expected: 'group, version and resource' };
  }
  if (typeof namespace !== 'string' || namespace === '') {
    return { path: 'request.namespace', expected: 'the namespace of the pod' };
  }
  return {
    uid,
    resource,
    operation,
    namespace,
    dryRun: request['dryRun'] === true,
    object: request['object'],
    oldObject: request['oldObject'],
  };
}

export function isInvalidReview(review: AdmissionRequest | InvalidReview): review is InvalidReview {
  return 'expected' in review;
}

/** `pods` or `pods/SUBRESOURCE` for v1 of the core group; `group/version/resource` for all others. */
function getResource(request: Record<string, unknown>): string | undefined {
  const { resource: gvr, subResource } = request;
  if (!isObject(gvr)) {
    return undefined;
  }
  const { group = '', version, resource } = gvr;
  if (typeof group !== 'string' || typeof version !== 'string' || typeof resource !== 'string') {
    return undefined;
  }
  const name = group === '' && version === 'v1' ? resource : `${group}/${version}/${resource}`;
  return typeof subResource === 'string' && subResource !== '' ? `${name}/${subResource}` : name;
}

/** The API server's default for `timeoutSeconds` (kubernetes `pkg/apis/admissionregistration`). */
const defaultTimeoutMs = 10_000;
const maxTimeoutMs = 30_000;

const msPerUnit: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };

/**
 * How long the response to a review may take, in ms: the timeout that the API server sends, less a margin for the network,
 * but at least half of that timeout.
 * @param timeout the query parameter `timeout`, a Go duration such as `5s`
 */
export function getResponseTimeoutMs(timeout: string | undefined, marginMs: number): number {
  const timeoutMs = Math.min(parseDurationMs(timeout) ?? defaultTimeoutMs, maxTimeoutMs);
  return Math.max(timeoutMs - marginMs, timeoutMs / 2);
}

/** The query parameter `timeout` of a URL, unparsed. */
export function getTimeoutParameter(url: string): string | undefined {
  const query = url.indexOf('?');
  return query < 0 ? undefined : (new URLSearchParams(url.slice(query)).get('timeout') ?? undefined);
}

/** Parses `1m30s`, `5s` or `500ms` to ms; undefined for anything else. */
function parseDurationMs(text: string | undefined): number | undefined {
  if (text === undefined || !/^(\d{1,6}(\.\d{1,9})?(ms|s|m)){1,3}$/.test(text)) {
    return undefined;
  }
  const parts = text.matchAll(/([\d.]+)(ms|s|m)/g);
  return [...parts].reduce((sum, [, amount, unit = '']) => sum + Number(amount) * (msPerUnit[unit] ?? 0), 0);
}
