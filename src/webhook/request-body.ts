import type { Log } from '../telemetry/log.ts';
import { formatErrorBody } from './admission-response.ts';
import type { WebhookResponse } from './handler.ts';
import { mayExceedValueCount, stripManagedFields } from './json-scan.ts';
import { maxJsonValues, smallBodyBytes } from './limits.ts';

export interface BodyHandlerDependencies {
  /** Answers a call from its parsed body and its address, whose query tells the timeout. Keeps nothing of the body. */
  handleReview(body: unknown, url: string): WebhookResponse | Promise<WebhookResponse>;
  readonly log: Log;
  /** Counts what is refused before it is known to be a review, by its reason. */
  onRefused(reason: string): void;
}

/**
 * Makes the function that answers a call from its body as it came; undefined: none came. It never throws or rejects:
 * what is not JSON gets a 400, what would cost too much to parse a 413, and a bug of ours a 500.
 */
export function createBodyHandler({
  handleReview,
  log,
  onRefused,
}: BodyHandlerDependencies): (
  bytes: Buffer | undefined,
  url: string,
) => WebhookResponse | Promise<WebhookResponse> {
  const respondToInternalError = (error: unknown): WebhookResponse => {
    log.error({ err: error }, 'a request could not be answered');
    return { status: 500, body: formatErrorBody('internal-error', 'internal error') };
  };
  return (bytes, url) => {
    if (bytes !== undefined && bytes.length > smallBodyBytes && mayExceedValueCount(bytes, maxJsonValues)) {
      onRefused('too-many-values');
      return {
        status: 413,
        body: formatErrorBody('too-many-values', `the body has more than ${maxJsonValues} JSON values`),
      };
    }
    let body: unknown;
    try {
      // we look at single fields and merge nothing, so `__proto__` in a pod is as harmless as any other key
      body = bytes && JSON.parse(stripManagedFields(bytes));
    } catch {
      return { status: 400, body: formatErrorBody('not-json', 'the body is not JSON') };
    }
    try {
      const response = handleReview(body, url);
      return response instanceof Promise ? response.catch(respondToInternalError) : response;
    } catch (error) {
      return respondToInternalError(error);
    }
  };
}
