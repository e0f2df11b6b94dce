// The error for a failed call to the API server, with its classification and advice.
import { parseStatus, type Status } from './api-status.ts';
import { ResponseTooLargeError } from './bounded-http.ts';
import { OverloadedError } from './call-slots.ts';
import { CredentialsError } from './kubeconfig-credentials.ts';
import { parseRefusal, type Refusal } from './refusal.ts';
import { findSystemError } from './system-error.ts';

/** The kind of a failed call to the API server. Code decides on this, never on a message. */
export type KubeErrorCode =
  | 'not-found'
  | 'conflict'
  | 'forbidden'
  | 'namespace-terminating'
  | 'unauthorized'
  | 'invalid'
  | 'too-many-requests'
  | 'gone'
  | 'server-error'
  | 'timeout'
  | 'network'
  | 'overloaded'
  | 'too-large'
  | 'unknown';

const adviceByCode: Record<KubeErrorCode, string> = {
  'not-found': 'the object or its namespace does not exist',
  conflict:
    'another client changed the object, or owns one of its fields with another value; if this repeats, look for that client in metadata.managedFields',
  forbidden: 'request denied; check the RBAC rules of the ServiceAccount, quotas and admission policies',
  'namespace-terminating': 'the namespace is being deleted; no action is needed',
  unauthorized: 'invalid credentials; check the ServiceAccount token or the kubeconfig',
  invalid: 'the API server rejected the object or the request as invalid',
  'too-many-requests': 'the API server limits the request rate; check the FlowSchema of the ServiceAccount',
  gone: 'the resourceVersion has expired; no action is needed, the objects are listed again',
  'server-error': 'the API server failed; check its health',
  timeout: 'request timed out; check the API server and the network to it',
  network: 'connection failed; check the address of the API server and the network to it',
  overloaded:
    'not sent, because too many calls to the API server are in flight; check for slow admission webhooks',
  'too-large': 'the response is too large for an API server; check which server responds at its address',
  unknown: 'unexpected failure; check the API server and the network to it',
};

interface KubeErrorDetails {
  code: KubeErrorCode;
  /** The operation and its object, for example `apply Secret team-a/ecr-pull-secrets`. */
  operation: string;
  /** The HTTP status, if there was a response. */
  status?: number | undefined;
  /** Text without secrets to add to the message. */
  detail?: string | undefined;
  /** Who denied the request, if the response says so. */
  refusal?: Refusal | undefined;
  /** What to do, if more is known than the code says. */
  advice?: string | undefined;
  /** Whether the caller aborted the call. */
  isAborted?: boolean;
}

/**
 * A failed call to the API server. Contains no response body, header, token or cause, because a body may quote the Secret that
 * was sent, and errors are shown in logs, Events and warnings.
 */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly code: KubeErrorCode;
  readonly operation: string;
  readonly status?: number | undefined;
  /** Who denied the request, or the code, for a kubectl warning. At most 60 characters. */
  readonly shortCause: string;
  /** What the operator can do about it. */
  readonly advice: string;
  /** Whether the caller aborted the call, for example because the user interrupted the command. */
  readonly isAborted: boolean;

  constructor(details: KubeErrorDetails) {
    const { code, operation, status, detail, refusal, advice: givenAdvice, isAborted = false } = details;
    const facts = [code, status === undefined ? '' : `HTTP ${status}`, refusal?.text ?? detail ?? '']
      .filter(Boolean)
      .join(', ');
    const advice = refusal?.advice ?? givenAdvice ?? adviceByCode[code];
    super(`cannot ${operation} (${facts}): ${advice}`);
    this.advice = advice;
    this.isAborted = isAborted;
    this.shortCause = refusal?.shortText ?? `API server: ${code}`;
    this.code = code;
    this.operation = operation;
    this.status = status;
  }
}

const codeByHttpStatus: ReadonlyMap<number, KubeErrorCode> = new Map([
  [400, 'invalid'],
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [404, 'not-found'],
  [408, 'timeout'],
  [409, 'conflict'],
  [410, 'gone'],
  [413, 'invalid'],
  [415, 'invalid'],
  [422, 'invalid'],
  [429, 'too-many-requests'],
  [504, 'timeout'],
]);

/**
 * The reasons in the API server's own responses with these statuses. An admission webhook may deny a request with any status,
 * mostly without a reason. Its 404 does not mean that the namespace does not exist, and its 409 or 429 does not mean that an
 * immediate retry helps.
 */
const reasonsByHttpStatus: ReadonlyMap<number, readonly string[]> = new Map([
  [401, ['Unauthorized']],
  [404, ['NotFound']],
  [409, ['Conflict', 'AlreadyExists']],
  [429, ['TooManyRequests']],
]);

function classifyStatus(httpStatus: number, status: Status): KubeErrorCode {
  // The cause's reason is the documented way to recognize a namespace that is being deleted:
  // https://github.com/kubernetes/api/blob/master/core/v1/types.go (NamespaceTerminatingCause).
  if (status.causes.some(({ reason }) => reason === 'NamespaceTerminating')) {
    return 'namespace-terminating';
  }
  // An apply with the uid of an object that has been replaced: 409 if it has been deleted, 422 if another one has its name.
  // Callers handle both alike.
  if (httpStatus === 422 && status.causes.some(({ field }) => field === 'metadata.uid')) {
    return 'conflict';
  }
  // A body that is not a Status does not come from a webhook.
  if (status.reason !== undefined && reasonsByHttpStatus.get(httpStatus)?.includes(status.reason) === false) {
    return 'forbidden';
  }
  return codeByHttpStatus.get(httpStatus) ?? (httpStatus >= 500 ? 'server-error' : 'unknown');
}

/**
 * Creates the error for a response that is not 2xx, or for an ERROR event of a watch.
 * @param httpStatus the HTTP status, or the `code` of the event
 * @param body the response body, as an object or text
 */
export function createStatusError(httpStatus: number, body: unknown, operation: string): KubeError {
  const status = parseStatus(body);
  const code = classifyStatus(httpStatus, status);
  return new KubeError({ code, operation, status: httpStatus, refusal: parseRefusal(status) });
}

const clientTimeoutCodes = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
]);

const untrustedAdvice =
  "the certificate of the API server is not signed by the CA in use; check certificate-authority of the kubeconfig, or the CA in the ServiceAccount's volume";
const validityAdvice =
  'the certificate of the API server has expired or is not valid yet; check the clock of this machine, then the certificate';

/** What to do about codes of Node that say more than that the connection failed. */
const adviceBySystemCode: ReadonlyMap<string, string> = new Map([
  ['CERT_HAS_EXPIRED', validityAdvice],
  ['CERT_NOT_YET_VALID', validityAdvice],
  ['CERT_UNTRUSTED', untrustedAdvice],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', untrustedAdvice],
  ['SELF_SIGNED_CERT_IN_CHAIN', untrustedAdvice],
  ['UNABLE_TO_GET_ISSUER_CERT', untrustedAdvice],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', untrustedAdvice],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', untrustedAdvice],
  [
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'the certificate of the API server is for another name than its address; use a name in the certificate, or set tls-server-name in the kubeconfig',
  ],
  ['ENOTFOUND', "the name in the API server's address does not exist; check the address and DNS"],
  ['EAI_AGAIN', "DNS does not resolve the name in the API server's address at the moment; check DNS"],
  [
    'ECONNREFUSED',
    'nothing listens at the address of the API server; check the address, and whether it runs',
  ],
]);

function classifySystemCode(code: string | undefined): KubeErrorCode {
  if (code === undefined) {
    return 'unknown';
  }
  return clientTimeoutCodes.has(code) ? 'timeout' : 'network';
}

/**
 * Converts what a call threw to a KubeError: fetch's TypeError, the reason of an aborted signal or
 * any other error. A KubeError is returned unchanged.
 */
export function toKubeError(failure: unknown, operation: string): KubeError {
  if (failure instanceof KubeError) {
    return failure;
  }
  if (failure instanceof ResponseTooLargeError) {
    return new KubeError({ code: 'too-large', operation, detail: failure.message });
  }
  if (failure instanceof CredentialsError) {
    const { message: detail, advice } = failure;
    return new KubeError({ code: 'unauthorized', operation, detail, advice });
  }
  if (failure instanceof OverloadedError) {
    return new KubeError({ code: 'overloaded', operation });
  }
  if (failure instanceof Error && failure.name === 'TimeoutError') {
    return new KubeError({ code: 'timeout', operation });
  }
  if (failure instanceof Error && failure.name === 'AbortError') {
    return new KubeError({ code: 'unknown', operation, isAborted: true });
  }
  const systemError = findSystemError(failure);
  const code = classifySystemCode(systemError?.code);
  const detail = systemError?.code;
  return new KubeError({ code, operation, detail, advice: adviceBySystemCode.get(detail ?? '') });
}
