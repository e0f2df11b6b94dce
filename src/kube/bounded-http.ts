// client-node's HTTP, with answers that are read no further than an API server's can reach.
import {
  ApiException,
  type HttpLibrary,
  IsomorphicFetchHttpLibrary,
  type ResponseContext,
  wrapHttpLibrary,
} from '@kubernetes/client-node';

/**
 * Bytes of the largest JSON text of one object, decompressed. The API server takes requests of at most 3 MiB
 * (`MaxRequestBodyBytes` in `k8s.io/apiserver/pkg/server/config.go`; etcd stores 1.5 MiB unless configured otherwise), and
 * Go's JSON writes one byte, such as `<`, in at most six: 18 MiB, and some room for the envelope.
 */
export const MAX_OBJECT_BYTES = 20 * 1024 * 1024;

/** An answer was longer than its limit. The rest of it was not read. */
export class AnswerTooLargeError extends Error {
  override readonly name = 'AnswerTooLargeError';
  readonly limitBytes: number;

  constructor(limitBytes: number) {
    super(`more than ${limitBytes} bytes`);
    this.limitBytes = limitBytes;
  }
}

/**
 * client-node's HTTP library. Texts of answers are read up to {@link MAX_OBJECT_BYTES}, errors included. Streams are not
 * bounded, because a watch lasts: whoever reads one bounds its lines. (undici's `maxResponseSize` does not serve: it cuts
 * watches too, and counts bytes before they are decompressed.)
 */
export function boundedHttp(): HttpLibrary {
  const http = new IsomorphicFetchHttpLibrary();
  return wrapHttpLibrary({
    send: async (request) => {
      const response = await http.send(request).toPromise();
      const { stream } = response.body;
      response.body = {
        stream,
        binary: () => bytesOf(stream(), MAX_OBJECT_BYTES),
        text: async () => (await bytesOf(stream(), MAX_OBJECT_BYTES)).toString(),
      };
      // The generated code drops the body of a 401, which an admission webhook may answer, too: its name is in there.
      if (response.httpStatusCode === 401) {
        throw new ApiException(401, 'Unauthorized', await response.body.text(), response.headers);
      }
      return response;
    },
  });
}

/**
 * Reads the text of an answer. Where it is too long, the connection is closed.
 * @throws AnswerTooLargeError, or what the stream throws
 */
export async function textOf({ body }: ResponseContext, limitBytes: number): Promise<string> {
  return (await bytesOf(body.stream(), limitBytes)).toString();
}

async function bytesOf(stream: ReadableStream<Uint8Array> | null, limitBytes: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop cancels the stream, and with it the request.
  for await (const chunk of stream ?? []) {
    length += chunk.byteLength;
    if (length > limitBytes) throw new AnswerTooLargeError(limitBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}
