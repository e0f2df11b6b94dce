// client-node's HTTP library with bounds on the calls in flight, their duration and the size of their responses.
import {
  type HttpLibrary,
  IsomorphicFetchHttpLibrary,
  type RequestContext,
  type ResponseContext,
  wrapHttpLibrary,
} from '@kubernetes/client-node';
import { type CallSlots, OverloadedError } from './call-slots.ts';
import { type CallTimeouts, classifyCall, getCallTimeoutMs } from './call-timeouts.ts';

/**
 * Maximum size of one object as JSON, decompressed, in bytes. The API server accepts requests of at most 3 MiB
 * (`MaxRequestBodyBytes` in `k8s.io/apiserver/pkg/server/config.go`; etcd stores 1.5 MiB by default), and Go's JSON encoder
 * needs at most six bytes for one byte such as `<`. That makes 18 MiB, plus the envelope.
 */
export const maxObjectBytes = 20 * 1024 * 1024;

/** A response exceeded its size limit. The rest of it was not read. */
export class ResponseTooLargeError extends Error {
  override readonly name = 'ResponseTooLargeError';
  readonly limitBytes: number;

  constructor(limitBytes: number) {
    super(`more than ${limitBytes} bytes`);
    this.limitBytes = limitBytes;
  }
}

/** The bounds on the requests of one client. */
export interface HttpBounds {
  readonly slots: CallSlots;
  readonly timeouts: CallTimeouts;
  /** Called for each call that got no slot. */
  onOverload(): void;
}

/**
 * Creates client-node's HTTP library with bounds.
 *
 * Each call except a watch waits for a slot, and its timeout starts when it has one. The slot is released when the response
 * has been read completely, canceled or has failed, at the latest when the timeout expires.
 *
 * Response bodies, including those of errors, are read up to {@link maxObjectBytes}. Streams are not bounded, because a watch
 * is open-ended; its reader bounds the lines. (undici's `maxResponseSize` is not suitable, because it also ends watches and
 * counts bytes before decompression.)
 */
export function createBoundedHttp(bounds: HttpBounds): HttpLibrary {
  const http = new IsomorphicFetchHttpLibrary();
  return wrapHttpLibrary({
    send: async (request) => {
      const response = await sendBounded(http, request, bounds);
      const { stream } = response.body;
      response.body = {
        stream,
        binary: () => readBytes(stream(), maxObjectBytes),
        text: async () => (await readBytes(stream(), maxObjectBytes)).toString(),
      };
      return response;
    },
  });
}

async function sendBounded(
  http: HttpLibrary,
  request: RequestContext,
  { slots, timeouts, onOverload }: HttpBounds,
): Promise<ResponseContext> {
  const kind = classifyCall(request.getHttpMethod(), request.getUrl());
  if (kind.isWatch) {
    return await http.send(request).toPromise();
  }
  const callerSignal = request.getSignal();
  const release = await slots.acquire(kind.key, callerSignal).catch((error: unknown) => {
    if (error instanceof OverloadedError) {
      onOverload();
    }
    throw error;
  });
  const { signal, finish } = createCallSignal(getCallTimeoutMs(kind, timeouts), callerSignal, release);
  try {
    request.setSignal(signal);
    const response = await http.send(request).toPromise();
    const stream = notifyOnEnd(response.body.stream(), finish);
    response.body = { ...response.body, stream: () => stream };
    return response;
  } catch (error) {
    finish();
    throw error;
  }
}

/**
 * Creates the signal of a call, which aborts with a TimeoutError after the timeout, or when the caller's signal aborts.
 * @param onEnd called when the call has finished or was aborted; may be called twice
 * @returns the signal, and `finish` for the caller to call when the call has finished
 */
function createCallSignal(
  timeoutMs: number,
  callerSignal: AbortSignal | undefined,
  onEnd: () => void,
): { signal: AbortSignal; finish: () => void } {
  const controller = new AbortController();
  const finish = () => {
    clearTimeout(timer);
    callerSignal?.removeEventListener('abort', onStop);
    onEnd();
  };
  const abort = (reason: unknown) => {
    controller.abort(reason);
    finish();
  };
  const onStop = () => abort(callerSignal?.reason);
  const timer = setTimeout(() => abort(new DOMException('request timed out', 'TimeoutError')), timeoutMs);
  callerSignal?.addEventListener('abort', onStop, { once: true });
  if (callerSignal?.aborted) {
    onStop();
  }
  return { signal: controller.signal, finish };
}

/** Wraps a stream and calls `onEnd` when it ends, fails or is canceled. */
function notifyOnEnd(
  stream: ReadableStream<Uint8Array> | null,
  onEnd: () => void,
): ReadableStream<Uint8Array> | null {
  if (stream === null) {
    onEnd();
    return null;
  }
  const reader = stream.getReader();
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        try {
          const { done, value } = await reader.read();
          if (!done) {
            controller.enqueue(value);
            return;
          }
          onEnd();
          controller.close();
        } catch (error) {
          onEnd();
          controller.error(error);
        }
      },
      cancel: async (reason) => {
        onEnd();
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

/**
 * Reads the body of a response as text. If it is too large, the connection is closed.
 * @throws {ResponseTooLargeError} or what the stream throws
 */
export async function readText({ body }: ResponseContext, limitBytes: number): Promise<string> {
  return (await readBytes(body.stream(), limitBytes)).toString();
}

async function readBytes(stream: ReadableStream<Uint8Array> | null, limitBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop cancels the stream and thereby the request.
  for await (const chunk of stream ?? []) {
    length += chunk.byteLength;
    if (length > limitBytes) {
      throw new ResponseTooLargeError(limitBytes);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}
