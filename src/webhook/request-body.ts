import type { Log } from '../telemetry/log.ts';
import { errorBody } from './admission-response.ts';
import type { Answer } from './handler.ts';
import { mayHoldMoreValues, withoutManagedFields } from './json-scan.ts';
import { maxValues, smallBodyBytes } from './limits.ts';

export interface BodyParts {
  /** Answers a call from its parsed body and its address, whose query tells the timeout. Keeps nothing of the body. */
  answer(body: unknown, url: string): Answer | Promise<Answer>;
  readonly log: Log;
  /** Counts what is refused before it is known to be a review, by its reason. */
  refused(reason: string): void;
}

/**
 * Makes the function that answers a call from its body as it came; undefined: none came. It never throws or rejects:
 * what is not JSON gets a 400, what would cost too much to parse a 413, and a bug of ours a 500.
 */
export function bodyAnswerer({
  answer,
  log,
  refused,
}: BodyParts): (bytes: Buffer | undefined, url: string) => Answer | Promise<Answer> {
  const onBug = (error: unknown): Answer => {
    log.error({ err: error }, 'a request could not be answered');
    return { status: 500, body: errorBody('internal-error', 'internal error') };
  };
  return (bytes, url) => {
    if (bytes !== undefined && bytes.length > smallBodyBytes && mayHoldMoreValues(bytes, maxValues)) {
      refused('too-many-values');
      return {
        status: 413,
        body: errorBody('too-many-values', `the body has more than ${maxValues} JSON values`),
      };
    }
    let body: unknown;
    try {
      // we look at single fields and merge nothing, so `__proto__` in a pod is as harmless as any other key
      body = bytes && JSON.parse(withoutManagedFields(bytes));
    } catch {
      return { status: 400, body: errorBody('not-json', 'the body is not JSON') };
    }
    try {
      const answered = answer(body, url);
      return answered instanceof Promise ? answered.catch(onBug) : answered;
    } catch (error) {
      return onBug(error);
    }
  };
}
