import { createServer, type Server, type ServerOptions } from 'node:https';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { type FastifyInstance, type FastifyReply, fastify } from 'fastify';
import type { PemPair } from '../certificates/pair.ts';
import { errorBody } from './answer.ts';
import { type BodyParts, bodyAnswerer } from './body.ts';
import type { Answer } from './mutate.ts';
import { ordinaryCalls } from './ordinary.ts';

export interface WebhookParts extends BodyParts {
  /** The pair to begin with; later ones go to the server's `setSecureContext`. */
  readonly pair: PemPair;
  /** Whether the process is about to end, so that callers should go elsewhere. */
  draining(): boolean;
}

export type Webhook = FastifyInstance<Server>;

/**
 * The API server sends a pod of at most 3 MiB (etcd's request limit, twice), once as `object` and once as `oldObject`,
 * plus the envelope: as controller-runtime's `maxRequestSize`, rounded up.
 */
const bodyLimitBytes = 8 * 1024 * 1024;

/** Longer than the 90 s for which Go keeps an idle connection, so that the API server is the one that closes it. */
const keepAliveMs = 120_000;

/** For a whole request to come in. */
const requestTimeoutMs = 30_000;

/** For the first call of a connection to come in while we close. */
const firstCallMs = 1_000;

const path = '/mutate';

export const tlsMinimum = 'TLSv1.2';

/**
 * The HTTPS application: `POST /mutate`. It is not listening yet. Whatever comes, an answer goes out; while draining
 * each one closes its connection, because the API server would otherwise stay on it.
 */
export function webhook({ pair, answer, draining, log }: WebhookParts): Webhook {
  const answerBody = bodyAnswerer({ answer, log });
  const tookOrdinary = ordinaryCalls({ path, limit: bodyLimitBytes, answer: answerBody, draining });
  const server: ServerOptions = {
    cert: pair.certPem,
    key: pair.keyPem,
    minVersion: tlsMinimum,
    keepAliveTimeout: keepAliveMs,
    requestTimeout: requestTimeoutMs,
  };
  const app = fastify({
    https: server,
    serverFactory: (others) =>
      createServer(server, (request, response) => {
        if (!tookOrdinary(request, response)) {
          others(request, response);
        }
      }),
    logger: false,
    bodyLimit: bodyLimitBytes,
    // a call that comes on a kept connection while we close is answered like any other
    return503OnClosing: false,
  });
  app.server.headersTimeout = keepAliveMs + 5_000;
  closeConnections(app);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) =>
    done(null, body),
  );

  const send = (reply: FastifyReply, { status, body }: Answer) => {
    if (draining()) {
      reply.header('connection', 'close');
    }
    return reply.code(status).header('content-type', 'application/json').send(body);
  };
  app.post<{ Body: Buffer | undefined }>(path, async (request, reply) =>
    send(reply, await answerBody(request.body, request.url)),
  );
  app.setNotFoundHandler((_request, reply) =>
    send(reply, { status: 404, body: errorBody('not-found', 'the webhook is POST /mutate') }),
  );
  app.setErrorHandler<Error & { statusCode?: number; code?: string }>((error, _request, reply) => {
    const status = error.statusCode ?? 500;
    if (status >= 500) {
      log.error({ err: error }, 'a request could not be answered');
    }
    const message = status >= 500 ? 'internal error' : error.message;
    return send(reply, { status, body: errorBody(error.code ?? 'internal-error', message) });
  });
  return app;
}

/**
 * Lets `close()` lose no call, and end soon after the last one. By itself Node closes a connection as idle if its next
 * call has come and only not been read yet, as happens on a busy machine; Go sends no POST again that was cut off
 * (`persistConn.shouldRetryRequest` in net/http). And it takes one that was opened and never used for busy, and Go's
 * clients leave such ones behind.
 */
function closeConnections(app: Webhook): void {
  const open = new Set<TLSSocket>();
  let closing = false;
  const closeIfUnused = async (socket: TLSSocket) => {
    await sleep(firstCallMs, undefined, { ref: false });
    await hasRead();
    if (socket.bytesRead === 0) {
      socket.destroy();
    }
  };
  app.server.on('secureConnection', (socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    if (closing) {
      void closeIfUnused(socket); // its handshake was under way when the end began
    }
  });
  app.addHook('preClose', async () => {
    await hasRead();
    closing = true;
    for (const socket of open) {
      void closeIfUnused(socket);
    }
  });
}

/** Ends when the process has read what came for it before. */
async function hasRead(): Promise<void> {
  await nextTurn(); // out of the present turn of the event loop, which may have polled already
  await nextTurn();
}
