// Describes why a host has no valid token in its namespace's Secret: code, short text and message. Pure.
import { TokenError } from '../ecr/token-error.ts';
import { KubeError } from '../kube/errors.ts';

/** Why a host has no valid token in its namespace's Secret. */
export interface UnavailableHost {
  readonly host: string;
  /**
   * For metrics and decisions: `unmanaged-secret`, `secret-full`, `denied-by-rule`, `pending`, `identity-changed`,
   * `no-newer-token`, or the code of an error.
   */
  readonly code: string;
  /** For the warning in `kubectl`: short, and without credentials. */
  readonly text: string;
  /** For tables and the log: what happened and what to do. */
  readonly message?: string;
  /** Whether fetching the token or writing the Secret failed; undefined if neither did. */
  readonly cause?: 'token' | 'write';
}

/** The code of a host whose token cannot be stored because an unmanaged Secret has the program's name. */
export const unmanagedSecretCode = 'unmanaged-secret';

/** Failures that last until the operator changes something. */
const permanentCodes: ReadonlySet<string> = new Set([
  unmanagedSecretCode,
  'secret-full',
  'forbidden',
  'unauthorized',
  'invalid',
]);

/** Whether retrying does not help. For the code of an {@link UnavailableHost} whose cause is not `token`. */
export function isPermanent(code: string): boolean {
  return permanentCodes.has(code);
}

/** The reason of an Event about a host without a valid token. */
export function getFailureReason({ permanent }: { readonly permanent: boolean }): string {
  return permanent ? 'PullTokenRefused' : 'PullTokenRenewalFailed';
}

/** Whether a write failed because its namespace was deleted or is being deleted, so that nothing remains to be done. */
export function isGone(code: string): boolean {
  return code === 'not-found' || code === 'namespace-terminating';
}

/** An unmanaged Secret has the program's name. It is reported and not changed. */
export class UnmanagedSecretError extends Error {
  override readonly name = 'UnmanagedSecretError';
  readonly code = unmanagedSecretCode;
  readonly secretName: string;

  constructor(namespace: string, secretName: string) {
    super(
      `Secret ${namespace}/${secretName} is not managed by ecr-pull-secrets (wrong type or no managed-by label), so it is ` +
        'not changed; delete it, or set another secretName',
    );
    this.secretName = secretName;
  }
}

/** @param secretName for the warning in `kubectl`, to which the message is not added */
export function unmanagedSecretHost(host: string, secretName?: string): UnavailableHost {
  const secret = secretName === undefined ? 'the pull Secret' : `Secret ${secretName}`;
  const message =
    `${secret} exists but is not managed by ecr-pull-secrets, so it is not changed. Delete it, annotate it with ` +
    'ecr-pull-secrets.io/managed=false, or set another secretName';
  return {
    host,
    code: unmanagedSecretCode,
    text: `${secret} exists but is unmanaged`,
    message,
    cause: 'write',
  };
}

export function secretFullHost(host: string): UnavailableHost {
  const message =
    'the pull Secret is full: all hosts are in use, or the program is not allowed to list pods. Delete unneeded pods, run ' +
    'ecr-pull-secrets remove-host, or raise secrets.maxHosts';
  return { host, code: 'secret-full', text: 'the pull Secret is full', message };
}

/** A rule of the operator denies the namespace the tokens of the host. */
export function deniedHost({
  host,
  rule,
}: {
  readonly host: string;
  readonly rule: string;
}): UnavailableHost {
  const message = `${rule} denies it. If the namespace should have it, add a rule with access: allow before that one`;
  return { host, code: deniedCode, text: `denied by ${rule}`, message };
}

/** Whether a rule denies the host, so that it is without a token on purpose. */
export function isDenied({ code }: UnavailableHost): boolean {
  return code === deniedCode;
}

/** Also the code of the `TokenError`. */
const deniedCode = 'denied-by-rule';

export function pendingHost(host: string): UnavailableHost {
  return { host, code: 'pending', text: 'ECR has not responded yet' };
}

/** Another identity has come to apply while the token was fetched. The next renewal, seconds later, fetches another one. */
export function identityChangedHost(host: string): UnavailableHost {
  return { host, code: 'identity-changed', text: 'the AWS identity has just changed' };
}

/** The only available token expires no later than the stored one. */
export function staleHost(host: string): UnavailableHost {
  return { host, code: 'no-newer-token', text: 'no newer token' };
}

/** Describes a host whose token could not be fetched or stored. An error of an unknown class is a bug: `internal-error`. */
export function failedHost(host: string, error: unknown): UnavailableHost {
  if (error instanceof TokenError) {
    return { host, code: error.code, text: error.shortCause, message: error.message, cause: 'token' };
  }
  if (error instanceof UnmanagedSecretError) {
    return unmanagedSecretHost(host, error.secretName);
  }
  if (error instanceof KubeError) {
    return { host, code: error.code, text: error.shortCause, message: error.message, cause: 'write' };
  }
  return { host, code: 'internal-error', text: 'internal error' };
}
