import { TokenError } from '../ecr/token-error.ts';
import { KubeError } from '../kube/errors.ts';

/** Why a host has no living token in its namespace's Secret yet. */
export interface UnavailableHost {
  readonly host: string;
  /** For metrics and decisions: `foreign-secret`, `secret-full`, `pending`, or the code of a failed call. */
  readonly code: string;
  /** For the warning that a pod's author sees: short, and holds nothing secret. */
  readonly text: string;
  /** The same for who reads a table or a log: what happened and what can be done. */
  readonly message?: string;
  /** What failed: to fetch a token, or to write the Secret; none: neither did. */
  readonly cause?: 'token' | 'write';
}

/** What the operator has to change before another try can succeed. */
const permanentCodes: ReadonlySet<string> = new Set([
  'foreign-secret',
  'secret-full',
  'forbidden',
  'unauthorized',
  'invalid',
]);

/** Whether retrying does not help, by the code of a {@link UnavailableHost} that is not about a token. */
export function isPermanent(code: string): boolean {
  return permanentCodes.has(code);
}

/** Whether a write failed because its namespace is gone, or about to go: there is nothing left to do. */
export function isGone(code: string): boolean {
  return code === 'not-found' || code === 'namespace-terminating';
}

/** A Secret of our name that somebody else made: it is reported and left. */
export class UnmanagedSecretError extends Error {
  override readonly name = 'ForeignSecretError';
  readonly code = 'foreign-secret';

  constructor(namespace: string, secretName: string) {
    super(
      `Secret ${namespace}/${secretName} is not ours: it has another type, or no label of ours. It is left as it is; ` +
        'delete or rename it, or set another secretName',
    );
  }
}

export function unmanagedSecretHost(host: string): UnavailableHost {
  const message =
    'the pull Secret exists but is not managed by ecr-pull-secrets, so it is not changed. Delete or rename it, or set ' +
    'another secretName';
  return {
    host,
    code: 'foreign-secret',
    text: 'the Secret of our name is not ours',
    message,
    cause: 'write',
  };
}

export function secretFullHost(host: string): UnavailableHost {
  const message =
    'the pull Secret is full: all hosts are in use, or the program may not list pods. Delete unneeded pods, run ' +
    'ecr-pull-secrets remove-host, or raise secrets.maxHosts';
  return { host, code: 'secret-full', text: 'the pull Secret is full', message };
}

export function pendingHost(host: string): UnavailableHost {
  return { host, code: 'pending', text: 'ECR has not answered yet' };
}

/** The token that could be had is as old as the one that is stored. */
export function staleHost(host: string): UnavailableHost {
  return { host, code: 'not-fresh', text: 'no newer token' };
}

/** The shortfall that a failed call leaves; an error of no known kind is a bug and comes out as `internal-error`. */
export function failedHost(host: string, error: unknown): UnavailableHost {
  if (error instanceof TokenError) {
    return { host, code: error.code, text: error.shortCause, message: error.message, cause: 'token' };
  }
  if (error instanceof UnmanagedSecretError) {
    return unmanagedSecretHost(host);
  }
  if (error instanceof KubeError) {
    return { host, code: error.code, text: error.shortCause, message: error.message, cause: 'write' };
  }
  return { host, code: 'internal-error', text: 'internal error' };
}
