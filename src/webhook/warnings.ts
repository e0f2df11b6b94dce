/** What kubectl shows without cutting it off (kubernetes `staging/src/k8s.io/apiserver/pkg/warning`). */
const maxWarningLength = 120;

/** A host whose token is not there, and why: see the unavailableHosts of the secrets room. */
interface MissingToken {
  readonly host: string;
  readonly text: string;
}

/**
 * One short warning for a pod's author: the first host and the cause, and how many more there are. ASCII, and at most
 * 120 characters: the cause is cut before the host is.
 */
export function formatMissingTokenWarning(missing: readonly MissingToken[]): string {
  const { host, text } = missing[0] ?? { host: 'unknown host', text: 'unknown cause' };
  const more = missing.length > 1 ? ` (+${missing.length - 1} more)` : '';
  const start = `no pull token yet for ${host}${more}: `;
  const warning = `${start}${text}`.replace(/[^\x20-\x7e]/g, '?');
  return warning.length <= maxWarningLength ? warning : `${warning.slice(0, maxWarningLength - 3)}...`;
}

/**
 * The warning about a new image of an existing pod that has no reference to the Secret. The pull may succeed all the same,
 * with other credentials of the pod or the node.
 * @param resource `pods/ephemeralcontainers` for what `kubectl debug` adds
 */
export function formatMissingReferenceWarning(resource: string): string {
  const remedy =
    resource === 'pods/ephemeralcontainers' ? 'use kubectl debug --copy-to' : 'delete and recreate the pod';
  return `the new ECR image may fail to pull: imagePullSecrets of a pod cannot be changed; ${remedy}`;
}
