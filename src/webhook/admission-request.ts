import { isObject } from '../util/json.ts';

/** What we need of an AdmissionReview (admission.k8s.io/v1): one request of the API server. */
export interface ReviewRequest {
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
export interface BadReview {
  readonly place: string;
  readonly expected: string;
}

/** Reads a parsed JSON body as an AdmissionReview. Never throws. */
export function readReview(body: unknown): ReviewRequest | BadReview {
  if (!isObject(body) || body['apiVersion'] !== 'admission.k8s.io/v1' || body['kind'] !== 'AdmissionReview') {
    return { place: 'body', expected: 'an AdmissionReview of admission.k8s.io/v1' };
  }
  const request = body['request'];
  if (!isObject(request)) {
    return { place: 'request', expected: 'an object' };
  }
  const { uid, operation, namespace } = request;
  if (typeof uid !== 'string' || uid === '') {
    return { place: 'request.uid', expected: 'text that is not empty' };
  }
  if (typeof operation !== 'string') {
    return { place: 'request.operation', expected: 'text' };
  }
  const resource = resourceOf(request);
  if (resource === undefined) {
    return { place: 'request.resource', expected: 'group, version and resource' };
  }
  if (typeof namespace !== 'string' || namespace === '') {
    return { place: 'request.namespace', expected: 'the namespace of the pod' };
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

export function isBadReview(review: ReviewRequest | BadReview): review is BadReview {
  return 'expected' in review;
}

/** `pods` or `pods/SUBRESOURCE` for the core group's v1; `group/version/resource` for anything else. */
function resourceOf(request: Record<string, unknown>): string | undefined {
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
const longestTimeoutMs = 30_000;

const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };

/**
 * How long the answer to a review may take, in ms: what the API server says in `?timeout=5s` (a Go duration) less a
 * margin for the way back, but never less than half of it.
 */
export function answerWithinMs(timeout: string | undefined, marginMs: number): number {
  const timeoutMs = Math.min(durationMs(timeout) ?? defaultTimeoutMs, longestTimeoutMs);
  return Math.max(timeoutMs - marginMs, timeoutMs / 2);
}

/** The `timeout` in the query of a call's address, as it stands there. */
export function timeoutOf(url: string): string | undefined {
  const query = url.indexOf('?');
  return query < 0 ? undefined : (new URLSearchParams(url.slice(query)).get('timeout') ?? undefined);
}

/** `1m30s`, `5s` or `500ms` in ms; undefined for anything else, and for nothing. */
function durationMs(text: string | undefined): number | undefined {
  if (text === undefined || !/^(\d{1,6}(\.\d{1,9})?(ms|s|m)){1,3}$/.test(text)) {
    return undefined;
  }
  const parts = text.matchAll(/([\d.]+)(ms|s|m)/g);
  return [...parts].reduce((sum, [, amount, unit = '']) => sum + Number(amount) * (units[unit] ?? 0), 0);
}
