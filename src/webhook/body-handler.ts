// Parses request bodies and passes them to the admission handler.
import type { Log } from '../telemetry/log.ts';
import { formatErrorBody } from './admission-response.ts';
import type { WebhookResponse } from './handler.ts';
import { mayExceedValueCount, stripManagedFields } from './json-scan.ts';
import { maxJsonValues, smallBodyBytes } from './limits.ts';

export interface BodyHandlerDependencies {
  /** Handles a request from its parsed body and its URL, whose query has the timeout. Keeps no reference to the body. */
  handleReview(body: unknown, url: string): WebhookResponse | Promise<WebhookResponse>;
  readonly log: Log;
  /** Counts a request that is refused before its review is read, by reason. */
  onRefused(reason: string): void;
}

/**
 * Creates a function that handles a request from its unparsed body, or undefined for none. It never throws or rejects: the
 * response is 400 if the body is not JSON, 413 if parsing it would cost too much, and 500 after an unexpected error.
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
    log.error({ err: error }, 'failed to handle HTTP request');
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
      // Only single fields are read and nothing is merged, so a key `__proto__` is harmless.
      body = bytes && JSON.parse(stripManagedFields(bytes));
    } catch {
      return { status: 400, body: formatErrorBody('invalid-json', 'the body is not valid JSON') };
    }
    try {
      const response = handleReview(body, url);
      return response instanceof Promise ? response.catch(respondToInternalError) : response;
    } catch (error) {
      return respondToInternalError(error);
    }
  };
}
