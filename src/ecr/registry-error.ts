// Classifies the response of a registry that does not return a manifest. Pure.
import { getField, getItems, parseJsonOrUndefined, toText } from '../util/json.ts';
import { findPrincipalArn } from './token-error.ts';

/** Why a registry does not return a manifest. Contains nothing of the request. */
export type ManifestRefusal =
  /** IAM or the policy of the repository does not allow it. What the response does not say is undefined. */
  | {
      readonly outcome: 'denied';
      /** The ARN of the caller. */
      readonly principal: string | undefined;
      /** Such as `ecr:BatchGetImage`. */
      readonly action: string | undefined;
      /** Such as `identity-based policy`. */
      readonly policy: string | undefined;
      /** Whether a policy denies it explicitly. */
      readonly isExplicit: boolean;
    }
  | {
      readonly outcome:
        | 'expired-token'
        | 'unauthorized'
        | 'repository-unknown'
        | 'manifest-unknown'
        | 'throttled'
        | 'server-error'
        | 'redirected'
        | 'unexpected';
      readonly status: number;
    };

/**
 * Classifies a response by its status and the code in its body (distribution specification, "Error Codes"). Amazon ECR sends `DENIED`
 * for expired tokens and for missing rights, so only the message tells these apart.
 * @param body as the server sent it; untrusted input
 */
export function classifyRefusal(status: number, body: string): ManifestRefusal {
  const [error] = getItems(getField(parseJsonOrUndefined(body), 'errors'));
  const code = getField(error, 'code');
  const text = toText(getField(error, 'message')).slice(0, maxMessageLength);
  if (status === 400 || status === 401 || status === 403) {
    return classifyRejection(status, text);
  }
  if (status === 404) {
    return { outcome: notFoundOutcomes.get(String(code)) ?? 'unexpected', status };
  }
  if (status === 429) {
    return { outcome: 'throttled', status };
  }
  if (status >= 300 && status < 400) {
    return { outcome: 'redirected', status };
  }
  return { outcome: status >= 500 ? 'server-error' : 'unexpected', status };
}

function classifyRejection(status: number, message: string): ManifestRefusal {
  if (/authorization token has expired/i.test(message)) {
    return { outcome: 'expired-token', status };
  }
  if (status === 401 || /authorization token is invalid/i.test(message)) {
    return { outcome: 'unauthorized', status };
  }
  return status === 403 ? describeDenial(message) : { outcome: 'unexpected', status };
}

/** Longer than the messages of IAM, which name two ARNs. */
const maxMessageLength = 2_000;

const notFoundOutcomes: ReadonlyMap<string, 'repository-unknown' | 'manifest-unknown'> = new Map([
  ['NAME_UNKNOWN', 'repository-unknown'],
  ['MANIFEST_UNKNOWN', 'manifest-unknown'],
]);

/** Finds what a message of IAM says ("Troubleshoot access denied error messages", IAM user guide). */
function describeDenial(message: string): ManifestRefusal {
  const [, action] = /not authorized to perform: (ecr(?:-public)?:[A-Za-z]{1,50})\b/.exec(message) ?? [];
  const [, reason, policy] =
    /(because no|explicit deny in an?) ((?:identity-based|resource-based|session|service control|resource control|VPC endpoint) policy|permissions boundary)\b/.exec(
      message,
    ) ?? [];
  return {
    outcome: 'denied',
    principal: findPrincipalArn(message),
    action,
    policy,
    isExplicit: reason?.startsWith('explicit') === true,
  };
}
