import { createServer, type Server, type ServerOptions } from 'node:https';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { type FastifyInstance, type FastifyReply, fastify } from 'fastify';
import { occasionally } from '../util/throttle-report.ts';
import { errorBody } from './admission-response.ts';
import { BodyIntake, RefusedBodyError } from './body-intake.ts';
import { freeMemory } from './chunk-buffer.ts';
import { clientGuard } from './client-auth.ts';
import { type Connections, closeInTime, limitConnections } from './connection-limits.ts';
import { ordinaryCalls } from './fast-path.ts';
import type { Answer } from './handler.ts';
import * as limits from './limits.ts';
import { type BodyParts, bodyAnswerer } from './request-body.ts';
import { type TlsIdentity, tlsOptions } from './tls-options.ts';

export interface WebhookParts extends BodyParts {
  /** What to begin with; later ones go to `Webhook.renew`. */
  readonly identity: TlsIdentity;
  /** Names of clients that may call, where `identity` has a CA for clients; none: any that has a certificate of it. */
  readonly allowedNames?: readonly string[];
  readonly maxConnections: number;
  /** Whether the process is about to end, so that callers should go elsewhere. */
  draining(): boolean;
}

export type Webhook = FastifyInstance<Server>;

/** Longer than the 90 s for which Go keeps an idle connection, so that the API server is the one that closes it. */
const keepAliveMs = 120_000;

/** For the first call of a connection to come in while we close. */
const firstCallMs = 1_000;

/** At most one line of its kind in the log, in ms. */
const logIntervalMs = 60_000;

const path = '/mutate';

const now = () => performance.now();

/**
 * The HTTPS application: `POST /mutate`. It is not listening yet. Whatever comes, an answer goes out; while draining
 * each one closes its connection, because the API server would otherwise stay on it. What one client, and all together, can
 * make it hold is bounded (limits.ts).
 */
export function webhook(parts: WebhookParts): Webhook {
  const { identity, allowedNames = [], maxConnections, answer, draining, log, refused } = parts;
  const answerBody = bodyAnswerer({ answer, log, refused });
  const tookOrdinary = ordinaryCalls({ path, limit: limits.smallBodyBytes, answer: answerBody, draining });
  const options: ServerOptions = {
    ...tlsOptions(identity),
    requestCert: identity.clientCaPem !== undefined,
    rejectUnauthorized: false, // by judgeClient, which says why
    handshakeTimeout: limits.handshakeTimeoutMs,
    keepAliveTimeout: keepAliveMs,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: limits.timeoutCheckMs,
    maxHeaderSize: limits.maxHeaderBytes,
  };
  const server = createServer(options);
  const connections = limitConnections(server, {
    maxConnections,
    handshakes: limits.handshakes,
    now,
    onEvicted: evictionReport(parts),
  });
  const isKnown =
    identity.clientCaPem === undefined ? undefined : clientGuard({ allowedNames, log, refused, now });
  const app = fastify({
    https: options,
    serverFactory: (others) =>
      server.on('request', (request, response) => {
        if (!connections.mayPass(request, response) || isKnown?.(request, response) === false) {
          return;
        }
        if (!tookOrdinary(request, response)) {
          others(request, response);
        }
      }),
    logger: false,
    // a call that comes on a kept connection while we close is answered like any other
    return503OnClosing: false,
  });
  closeConnections(app, connections);
  addUnusualCalls(app, answerBody, parts);
  return app;
}

/** Serves new connections with another certificate, and judges clients by another CA. */
export function renewIdentity(app: Webhook, identity: TlsIdentity): void {
  app.server.setSecureContext(tlsOptions(identity));
}

function evictionReport({ log, refused, maxConnections }: WebhookParts): () => void {
  const report = occasionally(logIntervalMs, now, (connections) =>
    log.warn({ connections, maxConnections }, 'closed connections to make room for new ones'),
  );
  return () => {
    refused('connections');
    report();
  };
}

/** All calls but the ordinary ones. */
function addUnusualCalls(
  app: Webhook,
  answerBody: ReturnType<typeof bodyAnswerer>,
  { draining, log, refused }: WebhookParts,
): void {
  const { maxBodyBytes, smallBodyBytes, maxBytesInFlight, slowBodyMs } = limits;
  const intake = new BodyIntake({ maxBodyBytes, smallBodyBytes, maxBytesInFlight, slowBodyMs }, now);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', (_request, payload, done) =>
    intake.receive(payload, (error, body) => done(error ?? null, body)),
  );
  const send = (reply: FastifyReply, { status, body }: Answer) => {
    if (draining()) {
      reply.header('connection', 'close');
    }
    return reply.code(status).header('content-type', 'application/json').send(body);
  };
  app.post<{ Body: Buffer | undefined }>(path, (request, reply) => {
    const answered = answerBody(request.body, request.url);
    if (request.body !== undefined) {
      freeMemory(request.body); // the answer may take seconds
    }
    if (answered instanceof Promise) {
      answered.then((later) => send(reply, later));
    } else {
      send(reply, answered);
    }
  });
  app.setNotFoundHandler((_request, reply) =>
    send(reply, { status: 404, body: errorBody('not-found', 'the webhook is POST /mutate') }),
  );
  app.setErrorHandler<Error & { statusCode?: number; code?: string }>((error, _request, reply) => {
    const status = error.statusCode ?? 500;
    const isKnown = error instanceof RefusedBodyError;
    if (isKnown) {
      refused(error.code);
      // The rest of the body is not read. The API server's client tries again within its own time (client-go, checkWait).
      reply.header('connection', 'close');
      if (status === 503) {
        reply.header('retry-after', '1');
      }
    } else if (status >= 500) {
      log.error({ err: error }, 'a request could not be answered');
    }
    const message = status >= 500 && !isKnown ? 'internal error' : error.message;
    return send(reply, { status, body: errorBody(error.code ?? 'internal-error', message) });
  });
}

/**
 * Lets `close()` lose no call, and end soon after the last one. By itself Node closes a connection as idle if its next
 * call has come and only not been read yet, as happens on a busy machine; Go sends no POST again that was cut off
 * (`persistConn.shouldRetryRequest` in net/http). And it takes one that was opened and never used for busy, and Go's
 * clients leave such ones behind.
 */
function closeConnections(app: Webhook, connections: Connections): void {
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
    closeInTime(app.server, connections);
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
