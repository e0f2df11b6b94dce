import { KubeError } from '../kube/errors.ts';
import { TokenError } from '../tokens/failure.ts';

/** Why a host has no living token in its namespace's Secret yet. */
export interface Shortfall {
  readonly host: string;
  /** For metrics and decisions: `foreign-secret`, `secret-full`, `pending`, or the code of a failed call. */
  readonly code: string;
  /** For the warning that a pod's author sees: short, and holds nothing secret. */
  readonly text: string;
  /** The same for who reads a table or a log: what happened and what can be done. */
  readonly message?: string;
}

/** A Secret of our name that somebody else made: it is reported and left. */
export class ForeignSecretError extends Error {
  override readonly name = 'ForeignSecretError';
  readonly code = 'foreign-secret';

  constructor(namespace: string, secretName: string) {
    super(
      `Secret ${namespace}/${secretName} is not ours: it has another type, or no label of ours. It is left as it is; ` +
        'delete or rename it, or set another secretName',
    );
  }
}

export function foreignSecret(host: string): Shortfall {
  return { host, code: 'foreign-secret', text: 'the Secret of our name is not ours' };
}

export function secretFull(host: string): Shortfall {
  const message =
    'the pull Secret is full: all hosts are in use, or the program may not list pods. Delete unneeded pods, run ' +
    'ecr-pull-secrets remove-host, or raise secrets.maxHosts';
  return { host, code: 'secret-full', text: 'the pull Secret is full', message };
}

export function pending(host: string): Shortfall {
  return { host, code: 'pending', text: 'ECR has not answered yet' };
}

/** The token that could be had is as old as the one that is stored. */
export function notFresh(host: string): Shortfall {
  return { host, code: 'not-fresh', text: 'no newer token' };
}

/** The shortfall that a failed call leaves; an error of no known kind is a bug and comes out as `internal-error`. */
export function failed(host: string, error: unknown): Shortfall {
  if (error instanceof TokenError) {
    return { host, code: error.code, text: error.shortCause, message: error.message };
  }
  if (error instanceof ForeignSecretError) {
    return foreignSecret(host);
  }
  if (error instanceof KubeError) {
    return { host, code: error.code, text: error.shortCause, message: error.message };
  }
  return { host, code: 'internal-error', text: 'internal error' };
}
