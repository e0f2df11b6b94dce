// Formats the warnings that kubectl shows to the author of a pod.

/** kubectl shows warnings of this length in full (kubernetes `staging/src/k8s.io/apiserver/pkg/warning`). */
const maxWarningLength = 120;

/** A host without a valid token, and why: see `UnavailableHost`. */
interface MissingToken {
  readonly host: string;
  readonly text: string;
}

/**
 * A warning with the first host, its cause, and the number of further hosts. ASCII, at most 120 characters; a long cause is
 * truncated, the host is not.
 */
export function formatMissingTokenWarning(missing: readonly MissingToken[]): string {
  const { host, text } = missing[0] ?? { host: 'unknown host', text: 'unknown cause' };
  const more = missing.length > 1 ? ` (+${missing.length - 1} more)` : '';
  const start = `no pull token for ${host}${more}: `;
  const warning = `${start}${text}`.replace(/[^\x20-\x7e]/g, '?');
  return warning.length <= maxWarningLength ? warning : `${warning.slice(0, maxWarningLength - 3)}...`;
}

/**
 * The warning about a new image of an existing pod that has no reference to the Secret. The pull may still succeed with other
 * credentials of the pod or the node.
 * @param resource `pods/ephemeralcontainers` for containers that `kubectl debug` adds
 */
export function formatMissingReferenceWarning(resource: string): string {
  const remedy =
    resource === 'pods/ephemeralcontainers' ? 'use kubectl debug --copy-to' : 'delete and recreate the pod';
  return `the new ECR image may fail to pull: imagePullSecrets of a pod cannot be changed; ${remedy}`;
}
