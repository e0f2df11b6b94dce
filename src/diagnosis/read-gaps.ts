// What could not be read during a diagnosis, because a right of the caller is missing or a request failed.
import { KubeError } from '../kube/errors.ts';

/** Something that the diagnosis could not read. */
export interface Gap {
  /** The verb and the resource, such as `list pods`. */
  readonly request: string;
  /** Whether the caller lacks the right. Otherwise the request failed, or was interrupted. */
  readonly isForbidden: boolean;
  /** Whether the user interrupted the request. */
  readonly isInterrupted?: boolean;
  /** Why, as the rest of a sentence: `there is no right to list pods`. */
  readonly why: string;
}

/** @throws the error, unless it is one of a request */
export function describeGap(error: unknown, request: string): Gap {
  if (!(error instanceof KubeError)) {
    throw error;
  }
  const isForbidden = error.code === 'forbidden' || error.code === 'unauthorized';
  if (error.isAborted) {
    return { request, isForbidden, isInterrupted: true, why: `the request to ${request} was interrupted` };
  }
  return {
    request,
    isForbidden,
    why: isForbidden ? `there is no right to ${request}` : `the request to ${request} failed (${error.code})`,
  };
}

/**
 * Runs a request whose result the diagnosis can do without.
 * @param gaps receives why it failed
 * @returns undefined if it failed
 */
export async function readOptional<T>(
  request: string,
  gaps: Gap[],
  read: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    gaps.push(describeGap(error, request));
    return undefined;
  }
}
