import type { IncomingMessage, ServerResponse } from 'node:http';
import { Gathered } from './chunk-buffer.ts';
import type { Answer } from './handler.ts';

export interface OrdinaryParts {
  /** The path of the webhook. */
  readonly path: string;
  /** Of a body, in bytes; at most what each connection may hold. */
  readonly limit: number;
  /** Answers a call from its body and its address; never throws or rejects. */
  answer(bytes: Buffer, url: string): Answer | Promise<Answer>;
  /** Whether answers are to close their connection. */
  draining(): boolean;
}

/**
 * Makes the function that answers the calls that come for each pod, as the API server sends them: a POST with JSON of a
 * known length. Nothing but node's own HTTP stands between such a call and its answer, because a framework's router,
 * request and reply cost as much again as all that we do for a pod.
 * @returns whether it took the call; what is unusual in any way is left to the framework
 */
export function ordinaryCalls({
  path,
  limit,
  answer,
  draining,
}: OrdinaryParts): (request: IncomingMessage, response: ServerResponse) => boolean {
  const withQuery = `${path}?`;
  const send = (response: ServerResponse, { status, body }: Answer) => {
    const length = String(Buffer.byteLength(body));
    // As a list, node puts the headers on the wire as they are.
    const headers = ['content-type', 'application/json', 'content-length', length];
    response.writeHead(status, draining() ? [...headers, 'connection', 'close'] : headers);
    response.end(body);
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
    readBody(request, length, (bytes) => {
      const answered = answer(bytes, url);
      if (answered instanceof Promise) {
        answered.then((later) => send(response, later));
      } else {
        send(response, answered);
      }
    });
    return true;
  };
}

/** Reads a body of a known length. A call for a pod of usual size comes in one piece. Nothing is kept once `done` is called. */
function readBody(request: IncomingMessage, length: number, done: (bytes: Buffer) => void): void {
  let whole: Buffer | undefined;
  let parts: Gathered | undefined;
  request.on('data', (chunk: Buffer) => {
    if (chunk.length === length) {
      whole = chunk;
    } else {
      parts ??= new Gathered(length);
      parts.add(chunk);
    }
  });
  request.on('end', () => {
    const bytes = whole ?? parts?.take() ?? Buffer.alloc(0);
    whole = undefined;
    parts = undefined;
    done(bytes);
  });
}
