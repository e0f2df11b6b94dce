import { isObject } from '../util/json.ts';

/** The parts of a Kubernetes `Status` that decisions are made on. */
export interface Status {
  /** Machine-readable, such as `NotFound`; empty where the sender gives none. Undefined: the body is not a Status. */
  reason: string | undefined;
  /** `details.causes`: why, in which field. */
  causes: readonly Cause[];
  /** May quote the object that was sent: see parseRefusal in `refusal.ts`. */
  message: string;
}

/** One of a Status' `details.causes`. Its message is left out, because it may quote the object that was sent. */
export interface Cause {
  reason: string;
  field: string;
}

function parseJsonOrUndefined(body: unknown): unknown {
  if (typeof body !== 'string') return body;
  try {
    return JSON.parse(body);
  } catch {
    return undefined; // a proxy's HTML page, for one
  }
}

/**
 * Reads a `Status` out of an answer's body (parsed, or as text). Never fails: what is not a Status has no
 * causes and no message. Form: https://github.com/kubernetes/apimachinery/blob/master/pkg/apis/meta/v1/types.go.
 */
export function parseStatus(body: unknown): Status {
  const status = parseJsonOrUndefined(body);
  if (!isObject(status) || status['kind'] !== 'Status') {
    return { reason: undefined, causes: [], message: '' };
  }
  const details = isObject(status['details']) ? status['details'] : {};
  const causes: unknown[] = Array.isArray(details['causes']) ? details['causes'] : [];
  return {
    reason: stringOrEmpty(status['reason']),
    causes: causes
      .filter(isObject)
      .map(({ reason, field }) => ({ reason: stringOrEmpty(reason), field: stringOrEmpty(field) })),
    message: stringOrEmpty(status['message']),
  };
}

function stringOrEmpty(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
