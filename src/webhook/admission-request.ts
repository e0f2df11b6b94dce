import { isObject } from '../util/json.ts';

/** What we need of an AdmissionReview (admission.k8s.io/v1): one request of the API server. */
export interface AdmissionRequest {
  readonly uid: string;
  /** `pods`, or `pods/ephemeralcontainers`; any other resource is not ours to judge. */
  readonly resource: string;
  readonly operation: string;
  readonly namespace: string;
  readonly dryRun: boolean;
  /** The pod as it came, unvalidated. */
  readonly object: unknown;
  /** The pod before an update, unvalidated; of a new pod null. */
  readonly oldObject: unknown;
}

/** Why something is not an AdmissionReview that we can answer. */
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
    return { path: 'request.uid', expected: 'text that is not empty' };
  }
  if (typeof operation !== 'string') {
    return { path: 'request.operation', expected: 'text' };
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

/** `pods` or `pods/SUBRESOURCE` for the core group's v1; `group/version/resource` for anything else. */
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

/** What the API server waits where it does not say (kubernetes `pkg/apis/admissionregistration`, timeoutSeconds). */
const defaultTimeoutMs = 10_000;
const maxTimeoutMs = 30_000;

const msPerUnit: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };

/**
 * How long the answer to a review may take, in ms: what the API server says in `?timeout=5s` (a Go duration) less a
 * margin for the way back, but never less than half of it.
 */
export function getResponseTimeoutMs(timeout: string | undefined, marginMs: number): number {
  const timeoutMs = Math.min(parseDurationMs(timeout) ?? defaultTimeoutMs, maxTimeoutMs);
  return Math.max(timeoutMs - marginMs, timeoutMs / 2);
}

/** The `timeout` in the query of a call's address, as it stands there. */
export function getTimeoutParameter(url: string): string | undefined {
  const query = url.indexOf('?');
  return query < 0 ? undefined : (new URLSearchParams(url.slice(query)).get('timeout') ?? undefined);
}

/** `1m30s`, `5s` or `500ms` in ms; undefined for anything else, and for nothing. */
function parseDurationMs(text: string | undefined): number | undefined {
  if (text === undefined || !/^(\d{1,6}(\.\d{1,9})?(ms|s|m)){1,3}$/.test(text)) {
    return undefined;
  }
  const parts = text.matchAll(/([\d.]+)(ms|s|m)/g);
  return [...parts].reduce((sum, [, amount, unit = '']) => sum + Number(amount) * (msPerUnit[unit] ?? 0), 0);
}
