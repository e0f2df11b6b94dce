import { ApiException } from '@kubernetes/client-node';
import { parseStatus, type Status } from './api-status.ts';
import { ResponseTooLargeError } from './bounded-http.ts';
import { OverloadedError } from './call-slots.ts';
import { parseRefusal, type Refusal } from './refusal.ts';

/** What kind of failure a call to the API server ended in. Decide on this, never on a message. */
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
  'not-found': 'there is no such object, or its namespace is gone',
  conflict: 'somebody else changed it, or owns a field of it with another value; read it again and retry',
  forbidden: 'refused; check the rules of our ServiceAccount, quotas and admission policies',
  'namespace-terminating': 'the namespace is being deleted; nothing to do',
  unauthorized: 'our credentials were not accepted; check the ServiceAccount token or the kubeconfig',
  invalid: 'the API server does not accept the object or the request',
  'too-many-requests': 'the API server asks us to slow down; check the FlowSchema of our account',
  gone: 'the resource version is too old; list again',
  'server-error': 'the API server failed; check its health',
  timeout: 'no answer in time; check the API server and the network to it',
  network: 'no connection; check the address of the API server and the network to it',
  overloaded:
    'too many calls of this program to the API server are in flight, so this one was not sent; look for slow admission webhooks',
  'too-large': 'the response is too large for an API server; check what listens at its address',
  unknown: 'unexpected failure',
};

interface KubeErrorDetails {
  code: KubeErrorCode;
  /** What was tried, on which object: `apply Secret team-a/ecr-pull-secrets`. */
  operation: string;
  /** The HTTP status, where there was an answer. */
  status?: number | undefined;
  /** Text that is known to hold nothing secret, added to the message. */
  detail?: string | undefined;
  /** Who refused it, where the answer says so. */
  refusal?: Refusal | undefined;
}

/**
 * A failed call to the API server. Holds no response body, header, token or cause: a body may quote the
 * Secret that was sent, and errors end in logs, events and warnings.
 */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly code: KubeErrorCode;
  readonly operation: string;
  readonly status?: number | undefined;
  /** For a kubectl warning: who refused, or the code; at most 60 characters. */
  readonly shortCause: string;

  constructor({ code, operation, status, detail, refusal }: KubeErrorDetails) {
    const facts = [code, status === undefined ? '' : `HTTP ${status}`, refusal?.text ?? detail ?? '']
      .filter(Boolean)
      .join(', ');
    super(`cannot ${operation} (${facts}): ${refusal?.advice ?? adviceByCode[code]}`);
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
 * What the API server's own answers of these statuses give as their reason. An admission webhook may deny with any status,
 * and mostly gives no reason: its 404 does not mean that the namespace is gone, nor its 409 or 429 that retrying at once
 * helps.
 */
const reasonsByHttpStatus: ReadonlyMap<number, readonly string[]> = new Map([
  [401, ['Unauthorized']],
  [404, ['NotFound']],
  [409, ['Conflict', 'AlreadyExists']],
  [429, ['TooManyRequests']],
]);

function classifyStatus(httpStatus: number, status: Status): KubeErrorCode {
  // The cause's reason is the documented way to tell it apart from other refusals:
  // https://github.com/kubernetes/api/blob/master/core/v1/types.go (NamespaceTerminatingCause).
  if (status.causes.some(({ reason }) => reason === 'NamespaceTerminating')) return 'namespace-terminating';
  // Applying with the uid of an object that has been replaced: 409 where there is none any more, 422 where there is
  // another one. For us it is one thing.
  if (httpStatus === 422 && status.causes.some(({ field }) => field === 'metadata.uid')) return 'conflict';
  // A body that is not a Status comes from no webhook.
  if (status.reason !== undefined && reasonsByHttpStatus.get(httpStatus)?.includes(status.reason) === false) {
    return 'forbidden';
  }
  return codeByHttpStatus.get(httpStatus) ?? (httpStatus >= 500 ? 'server-error' : 'unknown');
}

/**
 * Makes the error of an answer that is not 2xx, or of an ERROR event of a watch.
 *
 * @param httpStatus the HTTP status, or the event's `code`
 * @param body the answer's body, parsed or as text; only its machine-readable parts are looked at
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

// The only files that a call reads: token, CA, client certificate.
const credentialFileCodes = new Set(['ENOENT', 'EACCES', 'EPERM']);

/** Errors are wrapped two or three times; more than this is a chain that leads back to itself. */
const maxCauses = 8;

/** The error code of a system or TLS error, such as ECONNREFUSED or CERT_HAS_EXPIRED: a name, never data. */
function findSystemCode(failure: unknown, causesLeft = maxCauses): string | undefined {
  if (!(failure instanceof Error) || causesLeft === 0) return undefined;
  if ('code' in failure && typeof failure.code === 'string' && /^[A-Z][A-Z0-9_]{1,60}$/.test(failure.code)) {
    return failure.code;
  }
  return findSystemCode(failure.cause, causesLeft - 1);
}

function classifySystemCode(code: string | undefined): KubeErrorCode {
  if (code === undefined) return 'unknown';
  if (credentialFileCodes.has(code)) return 'unauthorized';
  return clientTimeoutCodes.has(code) ? 'timeout' : 'network';
}

/**
 * Makes a KubeError of whatever a call threw: client-node's ApiException, fetch's TypeError, an aborted
 * signal, or a KubeError (given back as it is).
 */
export function toKubeError(failure: unknown, operation: string): KubeError {
  if (failure instanceof KubeError) return failure;
  if (failure instanceof ApiException) return createStatusError(failure.code, failure.body, operation);
  if (failure instanceof ResponseTooLargeError) {
    return new KubeError({ code: 'too-large', operation, detail: failure.message });
  }
  if (failure instanceof OverloadedError) return new KubeError({ code: 'overloaded', operation });
  const detail = findSystemCode(failure);
  if (failure instanceof Error && failure.name === 'TimeoutError') {
    return new KubeError({ code: 'timeout', operation });
  }
  return new KubeError({ code: classifySystemCode(detail), operation, detail });
}
