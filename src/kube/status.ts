import { isRecord } from './records.ts';

/** The parts of a Kubernetes `Status` that decisions are made on. */
export interface Status {
  /** `details.causes`: why, in which field. */
  causes: readonly { reason: string; field: string }[];
  /** As the server wrote it: may quote the object that was sent. See {@link permittedText}. */
  message: string;
}

function parsed(body: unknown): unknown {
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
export function statusOf(body: unknown): Status {
  const status = parsed(body);
  if (!isRecord(status) || status['kind'] !== 'Status') return { causes: [], message: '' };
  const details = isRecord(status['details']) ? status['details'] : {};
  const causes: unknown[] = Array.isArray(details['causes']) ? details['causes'] : [];
  return {
    causes: causes
      .filter(isRecord)
      .map(({ reason, field }) => ({ reason: textOf(reason), field: textOf(field) })),
    message: textOf(status['message']),
  };
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

// Texts that the API server itself puts together from names and numbers. A text of any other form may be
// somebody else's (an admission webhook's reason, say) and quote the Secret, so it is not kept.
const PERMITTED = [
  /^[a-z0-9.-]+(?: "[a-z0-9.-]{1,253}")? is forbidden: (User "[^"]{1,300}" cannot [a-z]+ resource "[a-z/]+".{0,200})/,
  /^[a-z]+ "[a-z0-9.-]{1,253}" is forbidden: (exceeded quota: [a-z0-9.-]+, requested: .{0,200})/,
  /^[a-z0-9.-]+ "[a-z0-9.-]{1,253}" is forbidden: (ValidatingAdmissionPolicy '[a-z0-9.-]{1,253}' with binding '[a-z0-9.-]{1,253}' denied request)/,
  /^(admission webhook "[a-z0-9.-]{1,253}" denied the request)/,
];

/**
 * The part of a refusal's message that helps an operator and is known to hold names and numbers only
 * (a missing right, a quota, the webhook that refused), at most 300 characters; undefined for anything else.
 */
export function permittedText(message: string): string | undefined {
  for (const form of PERMITTED) {
    const text = form.exec(message)?.[1];
    if (text !== undefined) return text.slice(0, 300);
  }
  return undefined;
}
