// client-node's HTTP, with bounds on the calls in flight, their time, and the size of their responses.
import {
  ApiException,
  type HttpLibrary,
  IsomorphicFetchHttpLibrary,
  type RequestContext,
  type ResponseContext,
  wrapHttpLibrary,
} from '@kubernetes/client-node';
import { type CallSlots, OverloadedError } from './call-slots.ts';
import { type CallTimeouts, classifyCall, getCallTimeoutMs } from './call-timeouts.ts';

/**
 * Bytes of the largest JSON text of one object, decompressed. The API server takes requests of at most 3 MiB
 * (`MaxRequestBodyBytes` in `k8s.io/apiserver/pkg/server/config.go`; etcd stores 1.5 MiB unless configured otherwise), and
 * Go's JSON writes one byte, such as `<`, in at most six: 18 MiB, and some room for the envelope.
 */
export const maxObjectBytes = 20 * 1024 * 1024;

/** An answer was longer than its limit. The rest of it was not read. */
export class ResponseTooLargeError extends Error {
  override readonly name = 'AnswerTooLargeError';
  readonly limitBytes: number;

  constructor(limitBytes: number) {
    super(`more than ${limitBytes} bytes`);
    this.limitBytes = limitBytes;
  }
}

/** What bounds the requests of one client. */
export interface HttpBounds {
  readonly slots: CallSlots;
  readonly timeouts: CallTimeouts;
  /** Called for each call that got no slot. */
  onOverload(): void;
}

/**
 * client-node's HTTP library, with bounds.
 *
 * Each call, apart from watches, waits for a slot, and its timeout starts when it has one. It gives the slot back when its
 * response has been read to the end, canceled or has failed, at the latest when the timeout ends.
 *
 * Texts of answers are read up to {@link maxObjectBytes}, errors included. Streams are not
 * bounded, because a watch lasts: whoever reads one bounds its lines. (undici's `maxResponseSize` does not serve: it cuts
 * watches too, and counts bytes before they are decompressed.)
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
      // The generated code drops the body of a 401, which an admission webhook may answer, too: its name is in there.
      if (response.httpStatusCode === 401) {
        throw new ApiException(401, 'Unauthorized', await response.body.text(), response.headers);
      }
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
  if (kind.isWatch) return await http.send(request).toPromise();
  const callerSignal = request.getSignal();
  const release = await slots.acquire(kind.key, callerSignal).catch((error: unknown) => {
    if (error instanceof OverloadedError) onOverload();
    throw error;
  });
  const { signal, end } = createCallSignal(getCallTimeoutMs(kind, timeouts), callerSignal, release);
  try {
    request.setSignal(signal);
    const response = await http.send(request).toPromise();
    const stream = notifyOnEnd(response.body.stream(), end);
    response.body = { ...response.body, stream: () => stream };
    return response;
  } catch (error) {
    end();
    throw error;
  }
}

/**
 * Makes the signal of a call: aborts with a TimeoutError after the timeout, or when the caller's own signal aborts.
 * @param onEnd called once, when the call ends or is aborted
 * @returns `end` is to be called when the call has ended
 */
function createCallSignal(
  timeoutMs: number,
  callerSignal: AbortSignal | undefined,
  onEnd: () => void,
): { signal: AbortSignal; end: () => void } {
  const controller = new AbortController();
  const end = () => {
    clearTimeout(timer);
    callerSignal?.removeEventListener('abort', onStop);
    onEnd();
  };
  const abort = (reason: unknown) => {
    controller.abort(reason);
    end();
  };
  const onStop = () => abort(callerSignal?.reason);
  const timer = setTimeout(() => abort(new DOMException('no response in time', 'TimeoutError')), timeoutMs);
  callerSignal?.addEventListener('abort', onStop, { once: true });
  if (callerSignal?.aborted) onStop();
  return { signal: controller.signal, end };
}

/** Passes a stream on, and calls `onEnd` when it ends, fails or is canceled. */
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
 * Reads the text of an answer. Where it is too long, the connection is closed.
 * @throws ResponseTooLargeError, or what the stream throws
 */
export async function readText({ body }: ResponseContext, limitBytes: number): Promise<string> {
  return (await readBytes(body.stream(), limitBytes)).toString();
}

async function readBytes(stream: ReadableStream<Uint8Array> | null, limitBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop cancels the stream, and with it the request.
  for await (const chunk of stream ?? []) {
    length += chunk.byteLength;
    if (length > limitBytes) throw new ResponseTooLargeError(limitBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}
