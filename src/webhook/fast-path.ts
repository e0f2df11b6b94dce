// Handles the requests that the API server sends for each pod, without the framework.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ChunkBuffer } from './chunk-buffer.ts';
import type { WebhookResponse } from './handler.ts';

export interface FastPathDependencies {
  /** The path of the webhook. */
  readonly path: string;
  /** Maximum size of a body, in bytes: at most what each connection may hold. */
  readonly maxBodyBytes: number;
  /** Handles a request from its body and its URL. Must not throw or reject. */
  handleBody(bytes: Buffer, url: string): WebhookResponse | Promise<WebhookResponse>;
  /** Whether responses close their connection. */
  isDraining(): boolean;
}

/**
 * Creates a function that handles requests as the API server sends them: a POST with JSON of a known length. It uses only
 * Node's own HTTP, because the router, request and reply of a framework cost as much as everything else that is done for a
 * pod (docs/explanation/decisions/0006).
 * @returns whether the function handles the request; the framework handles all others
 */
export function createFastPath({
  path,
  maxBodyBytes,
  handleBody,
  isDraining,
}: FastPathDependencies): (request: IncomingMessage, response: ServerResponse) => boolean {
  const pathWithQuery = `${path}?`;
  const send = (response: ServerResponse, { status, body }: WebhookResponse) => {
    const length = String(Buffer.byteLength(body));
    // Node writes headers that are given as an array without further processing.
    const headers = ['content-type', 'application/json', 'content-length', length];
    response.writeHead(status, isDraining() ? [...headers, 'connection', 'close'] : headers);
    response.end(body);
  };
  return (request, response) => {
    const { method, url = '', headers } = request;
    const length = Number(headers['content-length']);
    const isTypical =
      method === 'POST' &&
      (url === path || url.startsWith(pathWithQuery)) &&
      headers['content-type'] === 'application/json' &&
      length <= maxBodyBytes;
    if (!isTypical) {
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

/**
 * Reads a body of a known length, which arrives in one chunk for a pod of usual size. Keeps no reference to the body after
 * it has called `done`.
 */
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
