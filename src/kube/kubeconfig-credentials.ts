// Where the credentials of a kubeconfig come from, and what it means if there are none.
import type { User } from '@kubernetes/client-node';
import { getField } from '../util/json.ts';
import { findSystemError } from './system-error.ts';

/** Where a user of the kubeconfig gets credentials other than from its own fields and files. */
export interface CredentialSource {
  /** As messages name it, for example its command. */
  readonly name: string;
  /** What to do if it returns none. */
  readonly advice: string;
}

/** The user of the kubeconfig has no credentials. What a program or an issuer returned may be secret, so it is not contained. */
export class CredentialsError extends Error {
  override readonly name = 'CredentialsError';
  /** What to do. */
  readonly advice: string;

  constructor(message: string, advice: string) {
    super(message);
    this.advice = advice;
  }
}

/** The auth-providers of client-node that start a program or refresh a token. Any other one reads a token file. */
const refreshingAuthProviders = new Set(['azure', 'gcp', 'oidc']);

/**
 * Returns what is called for the credentials of a user; undefined: nothing.
 * @throws {CredentialsError} if the user names no program
 */
export function findCredentialSource(user: User | null): CredentialSource | undefined {
  const exec: unknown = user?.exec ?? getField(user?.authProvider?.config, 'exec');
  if (exec !== undefined && exec !== null) {
    const command = getField(exec, 'command');
    if (typeof command !== 'string' || command === '') {
      throw new CredentialsError('user.exec of the kubeconfig names no command', 'correct the kubeconfig');
    }
    return {
      name: command.slice(0, 200),
      advice:
        'the program that user.exec of the kubeconfig names must return credentials, and may not ask for input; run it by hand, for example to sign in again',
    };
  }
  const provider = user?.authProvider?.name;
  return provider === undefined || !refreshingAuthProviders.has(provider)
    ? undefined
    : {
        name: `auth-provider ${provider} of the kubeconfig`,
        advice:
          'no credentials for the API server; sign in again, or use user.exec in the kubeconfig instead',
      };
}

/** What Node does with a file of credentials. */
const fileOperations = new Set(['open', 'read', 'fstat']);

/**
 * Converts what reading the credentials of a kubeconfig threw: a file that cannot be read, a program that cannot be started, or
 * any failure of the source.
 * @param source undefined if the credentials are in the kubeconfig and its files
 */
export function toCredentialsError(failure: unknown, source: CredentialSource | undefined): CredentialsError {
  const { code, path, syscall } = findSystemError(failure) ?? {};
  const [operation = ''] = typeof syscall === 'string' ? syscall.split(' ', 1) : [];
  const subject = typeof path === 'string' ? ` ${path.slice(0, 200)}` : '';
  if (operation.startsWith('spawn')) {
    return new CredentialsError(
      `${code}${subject || ` ${source?.name}`}`,
      'the program that user.exec of the kubeconfig names cannot be started; install it, or add it to PATH',
    );
  }
  if (fileOperations.has(operation)) {
    return new CredentialsError(
      `${code}${subject}`,
      'the file cannot be read; check the kubeconfig, or the ServiceAccount token that is mounted into the pod',
    );
  }
  return source === undefined
    ? new CredentialsError('no credentials', 'the user of the kubeconfig cannot be used; correct it')
    : new CredentialsError(`${source.name} failed or returned no credentials`, source.advice);
}
