// Parses the `Status` in an error response of the API server.
import { isObject, parseJsonOrUndefined, toText } from '../util/json.ts';

/** The parts of a Kubernetes `Status` that errors are classified by. */
export interface Status {
  /** Machine-readable, for example `NotFound`; empty if the Status has none. Undefined if the body is not a Status. */
  reason: string | undefined;
  /** `details.causes`: the reasons, with the field each is about. */
  causes: readonly Cause[];
  /** May quote the object that was sent, so only parseRefusal in `refusal.ts` reads it. */
  message: string;
}

/** One of a Status' `details.causes`. Its message is left out, because it may quote the object that was sent. */
export interface Cause {
  reason: string;
  field: string;
}

/**
 * Parses the body of a response (an object or text) as a `Status`. Never throws: a body that is not a Status has no causes
 * and no message. Schema: https://github.com/kubernetes/apimachinery/blob/master/pkg/apis/meta/v1/types.go.
 */
export function parseStatus(body: unknown): Status {
  // The text may be anything, for example the HTML page of a proxy.
  const status = typeof body === 'string' ? parseJsonOrUndefined(body) : body;
  if (!isObject(status) || status['kind'] !== 'Status') {
    return { reason: undefined, causes: [], message: '' };
  }
  const details = isObject(status['details']) ? status['details'] : {};
  const causes: unknown[] = Array.isArray(details['causes']) ? details['causes'] : [];
  return {
    reason: toText(status['reason']),
    causes: causes
      .filter(isObject)
      .map(({ reason, field }) => ({ reason: toText(reason), field: toText(field) })),
    message: toText(status['message']),
  };
}
