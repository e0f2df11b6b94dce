// Finds files with AWS credentials that cannot be read.
import { accessSync, constants } from 'node:fs';
import { getField } from '../util/json.ts';
import type { Environment } from './aws-settings.ts';

/** A file that an environment variable names, and that cannot be read. */
export interface UnreadableFile {
  readonly variable: string;
  readonly path: string;
  /** The code of the system error. */
  readonly code: string;
}

/** The variables that name files with credentials. A profile is only in the last two. */
const sharedFileVariables = ['AWS_SHARED_CREDENTIALS_FILE', 'AWS_CONFIG_FILE'] as const;
const fileVariables = [
  'AWS_WEB_IDENTITY_TOKEN_FILE',
  'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE',
  ...sharedFileVariables,
] as const;

/** Finds a file with credentials that is configured and cannot be read. Only called after a failure. */
export function findUnreadableFile(
  environment: Environment,
  profile: string | undefined,
): UnreadableFile | undefined {
  for (const variable of profile === undefined ? fileVariables : sharedFileVariables) {
    const path = environment[variable];
    if (path) {
      try {
        accessSync(path, constants.R_OK);
      } catch (error) {
        const code = getField(error, 'code');
        return { variable, path: path.slice(0, 200), code: typeof code === 'string' ? code : 'unknown' };
      }
    }
  }
  return undefined;
}
