import type { IncomingMessage, ServerResponse } from 'node:http';
import { ChunkBuffer } from './chunk-buffer.ts';
import type { WebhookResponse } from './handler.ts';

export interface OrdinaryCallDependencies {
  /** The path of the webhook. */
  readonly path: string;
  /** Of a body, in bytes; at most what each connection may hold. */
  readonly maxBodyBytes: number;
  /** Answers a call from its body and its address; never throws or rejects. */
  handleBody(bytes: Buffer, url: string): WebhookResponse | Promise<WebhookResponse>;
  /** Whether answers are to close their connection. */
  isDraining(): boolean;
}

/**
 * Makes the function that answers the calls that come for each pod, as the API server sends them: a POST with JSON of a
 * known length. Nothing but node's own HTTP stands between such a call and its answer, because a framework's router,
 * request and reply cost as much again as all that we do for a pod.
 * @returns whether it took the call; what is unusual in any way is left to the framework
 */
export function createOrdinaryCallHandler({
  path,
  maxBodyBytes,
  handleBody,
  isDraining,
}: OrdinaryCallDependencies): (request: IncomingMessage, response: ServerResponse) => boolean {
  const withQuery = `${path}?`;
  const send = (response: ServerResponse, { status, body }: WebhookResponse) => {
    const length = String(Buffer.byteLength(body));
    // As a list, node puts the headers on the wire as they are.
    const headers = ['content-type', 'application/json', 'content-length', length];
    response.writeHead(status, isDraining() ? [...headers, 'connection', 'close'] : headers);
    response.end(body);
  };
  return (request, response) => {
    const { method, url = '', headers } = request;
    const length = Number(headers['content-length']);
    const ordinary =
      method === 'POST' &&
      (url === path || url.startsWith(withQuery)) &&
      headers['content-type'] === 'application/json' &&
      length <= maxBodyBytes;
    if (!ordinary) {
      return false;
    }
    readBody(request, length, (bytes) => {
      const result = handleBody(bytes, url);
      if (result instanceof Promise) {
        result.then((resolved) => send(response, resolved));
      } else {
        send(response, result);
      }
    });
    return true;
  };
}

/** Reads a body of a known length. A call for a pod of usual size comes in one piece. Nothing is kept once `done` is called. */
function readBody(request: IncomingMessage, length: number, done: (bytes: Buffer) => void): void {
  let whole: Buffer | undefined;
  let chunks: ChunkBuffer | undefined;
  request.on('data', (chunk: Buffer) => {
    if (chunk.length === length) {
      whole = chunk;
    } else {
      chunks ??= new ChunkBuffer(length);
      chunks.add(chunk);
    }
  });
  request.on('end', () => {
    const bytes = whole ?? chunks?.take() ?? Buffer.alloc(0);
    whole = undefined;
    chunks = undefined;
    done(bytes);
  });
}
