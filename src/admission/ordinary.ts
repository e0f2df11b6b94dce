import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Log } from '../telemetry/log.ts';
import { errorBody } from './answer.ts';
import type { Answer } from './mutate.ts';

export interface OrdinaryParts {
  /** The path of the webhook. */
  readonly path: string;
  /** Of a body, in bytes. */
  readonly limit: number;
  answer(body: unknown, url: string): Answer | Promise<Answer>;
  /** Whether answers are to close their connection. */
  draining(): boolean;
  readonly log: Log;
}

/**
 * Makes the function that answers the calls that come for each pod, as the API server sends them: a POST with JSON of a
 * known length. Nothing but node's own HTTP stands between such a call and its answer, because a framework's router,
 * request and reply cost as much again as all that we do for a pod.
 * @returns whether it took the call; what is unusual in any way is left to the framework
 */
export function ordinaryCalls(
  parts: OrdinaryParts,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const { path, limit, answer, draining, log } = parts;
  const withQuery = `${path}?`;
  const send = (response: ServerResponse, { status, body }: Answer) => {
    if (draining()) {
      response.setHeader('connection', 'close');
    }
    response.writeHead(status, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    });
    response.end(body);
  };
  const onBug = (response: ServerResponse, error: unknown) => {
    log.error({ err: error }, 'a request could not be answered');
    send(response, { status: 500, body: errorBody('internal-error', 'internal error') });
  };
  return (request, response) => {
    const { method, url = '', headers } = request;
    const length = Number(headers['content-length']);
    const ordinary =
      method === 'POST' &&
      (url === path || url.startsWith(withQuery)) &&
      headers['content-type'] === 'application/json' &&
      length <= limit;
    if (!ordinary) {
      return false;
    }
    const chunks: Buffer[] = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      const body = parsed(chunks);
      if (body === undefined) {
        send(response, { status: 400, body: errorBody('not-json', 'the body is not JSON') });
        return;
      }
      try {
        const answered = answer(body, url);
        if (answered instanceof Promise) {
          answered.then((later) => send(response, later)).catch((error: unknown) => onBug(response, error));
        } else {
          send(response, answered);
        }
      } catch (error) {
        onBug(response, error);
      }
    });
    return true;
  };
}

/** JSON has no undefined: that stands for what is none. */
function parsed(chunks: readonly Buffer[]): unknown {
  try {
    // a call for a pod of usual size comes in one piece
    const whole = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
    return JSON.parse(whole.toString());
  } catch {
    return undefined;
  }
}
