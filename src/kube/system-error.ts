// Finds the error of Node behind a failed call.

/** Maximum depth of `cause`. Errors are wrapped two or three times; a longer chain is circular. */
const maxCauses = 8;

/** A system or TLS error. */
export interface SystemError extends Error {
  /** Such as ECONNREFUSED or CERT_HAS_EXPIRED. It is a name and contains no data. */
  readonly code: string;
  /** The file that could not be read, or the program that could not be started. */
  readonly path?: unknown;
  readonly syscall?: unknown;
}

export function findSystemError(failure: unknown, remainingCauses = maxCauses): SystemError | undefined {
  if (!(failure instanceof Error) || remainingCauses === 0) {
    return undefined;
  }
  if ('code' in failure && typeof failure.code === 'string' && /^[A-Z][A-Z0-9_]{1,60}$/.test(failure.code)) {
    return failure as SystemError;
  }
  return findSystemError(failure.cause, remainingCauses - 1);
}
