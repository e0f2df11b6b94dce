import { createServer, type Server, type ServerOptions } from 'node:https';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { type FastifyInstance, type FastifyReply, fastify } from 'fastify';
import { throttleReport } from '../util/throttle-report.ts';
import { formatErrorBody } from './admission-response.ts';
import { BodyReceiver, BodyRejectedError } from './body-intake.ts';
import { freeMemory } from './chunk-buffer.ts';
import { createClientGuard } from './client-auth.ts';
import { type Connections, enforceCloseTimeout, limitConnections } from './connection-limits.ts';
import { createOrdinaryCallHandler } from './fast-path.ts';
import type { WebhookResponse } from './handler.ts';
import * as limits from './limits.ts';
import { type BodyHandlerDependencies, createBodyHandler } from './request-body.ts';
import { createTlsOptions, type TlsIdentity } from './tls-options.ts';

export interface WebhookDependencies extends BodyHandlerDependencies {
  /** What to begin with; later ones go to `Webhook.renew`. */
  readonly identity: TlsIdentity;
  /** Names of clients that may call, where `identity` has a CA for clients; none: any that has a certificate of it. */
  readonly allowedNames?: readonly string[];
  readonly maxConnections: number;
  /** Whether the process is about to end, so that callers should go elsewhere. */
  isDraining(): boolean;
}

export type Webhook = FastifyInstance<Server>;

/** Longer than the 90 s for which Go keeps an idle connection, so that the API server is the one that closes it. */
const keepAliveMs = 120_000;

/** For the first call of a connection to come in while we close. */
const firstRequestTimeoutMs = 1_000;

/** At most one line of its kind in the log, in ms. */
const logIntervalMs = 60_000;

const path = '/mutate';

const monotonicNow = () => performance.now();

/**
 * The HTTPS application: `POST /mutate`. It is not listening yet. Whatever comes, an answer goes out; while draining
 * each one closes its connection, because the API server would otherwise stay on it. What one client, and all together, can
 * make it hold is bounded (limits.ts).
 */
export function createWebhook(dependencies: WebhookDependencies): Webhook {
  const {
    identity,
    allowedNames = [],
    maxConnections,
    handleReview,
    isDraining,
    log,
    onRefused,
  } = dependencies;
  const handleBody = createBodyHandler({ handleReview, log, onRefused });
  const handleOrdinary = createOrdinaryCallHandler({
    path,
    maxBodyBytes: limits.smallBodyBytes,
    handleBody,
    isDraining,
  });
  const options: ServerOptions = {
    ...createTlsOptions(identity),
    requestCert: identity.clientCaPem !== undefined,
    rejectUnauthorized: false, // by authenticateClient, which says why
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
    handshakes: limits.handshakeLimits,
    monotonicNow,
    onEvicted: createEvictionReporter(dependencies),
  });
  const isAllowed =
    identity.clientCaPem === undefined
      ? undefined
      : createClientGuard({ allowedNames, log, onRefused, monotonicNow });
  const app = fastify({
    https: options,
    serverFactory: (handleWithFastify) =>
      server.on('request', (request, response) => {
        if (!connections.acceptRequest(request, response) || isAllowed?.(request, response) === false) {
          return;
        }
        if (!handleOrdinary(request, response)) {
          handleWithFastify(request, response);
        }
      }),
    logger: false,
    // a call that comes on a kept connection while we close is answered like any other
    return503OnClosing: false,
  });
  drainConnections(app, connections);
  addFallbackRoutes(app, handleBody, dependencies);
  return app;
}

/** Serves new connections with another certificate, and judges clients by another CA. */
export function updateTlsIdentity(app: Webhook, identity: TlsIdentity): void {
  app.server.setSecureContext(createTlsOptions(identity));
}

function createEvictionReporter({ log, onRefused, maxConnections }: WebhookDependencies): () => void {
  const report = throttleReport(logIntervalMs, monotonicNow, (connections) =>
    log.warn({ connections, maxConnections }, 'closed connections to make room for new ones'),
  );
  return () => {
    onRefused('connections');
    report();
  };
}

/** All calls but the ordinary ones. */
function addFallbackRoutes(
  app: Webhook,
  handleBody: ReturnType<typeof createBodyHandler>,
  { isDraining, log, onRefused }: WebhookDependencies,
): void {
  const { maxBodyBytes, smallBodyBytes, maxBytesInFlight, slowBodyMs } = limits;
  const receiver = new BodyReceiver(
    { maxBodyBytes, smallBodyBytes, maxBytesInFlight, slowBodyMs },
    monotonicNow,
  );
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', (_request, payload, done) =>
    receiver.receive(payload, (error, body) => done(error ?? null, body)),
  );
  const send = (reply: FastifyReply, { status, body }: WebhookResponse) => {
    if (isDraining()) {
      reply.header('connection', 'close');
    }
    return reply.code(status).header('content-type', 'application/json').send(body);
  };
  app.post<{ Body: Buffer | undefined }>(path, (request, reply) => {
    const result = handleBody(request.body, request.url);
    if (request.body !== undefined) {
      freeMemory(request.body); // the answer may take seconds
    }
    if (result instanceof Promise) {
      result.then((resolved) => send(reply, resolved));
    } else {
      send(reply, result);
    }
  });
  app.setNotFoundHandler((_request, reply) =>
    send(reply, { status: 404, body: formatErrorBody('not-found', 'the webhook is POST /mutate') }),
  );
  app.setErrorHandler<Error & { statusCode?: number; code?: string }>((error, _request, reply) => {
    const status = error.statusCode ?? 500;
    const isKnown = error instanceof BodyRejectedError;
    if (isKnown) {
      onRefused(error.code);
      // The rest of the body is not read. The API server's client tries again within its own time (client-go, checkWait).
      reply.header('connection', 'close');
      if (status === 503) {
        reply.header('retry-after', '1');
      }
    } else if (status >= 500) {
      log.error({ err: error }, 'a request could not be answered');
    }
    const message = status >= 500 && !isKnown ? 'internal error' : error.message;
    return send(reply, { status, body: formatErrorBody(error.code ?? 'internal-error', message) });
  });
}

/**
 * Lets `close()` lose no call, and end soon after the last one. By itself Node closes a connection as idle if its next
 * call has come and only not been read yet, as happens on a busy machine; Go sends no POST again that was cut off
 * (`persistConn.shouldRetryRequest` in net/http). And it takes one that was opened and never used for busy, and Go's
 * clients leave such ones behind.
 */
function drainConnections(app: Webhook, connections: Connections): void {
  const open = new Set<TLSSocket>();
  let closing = false;
  const closeIfUnused = async (socket: TLSSocket) => {
    await sleep(firstRequestTimeoutMs, undefined, { ref: false });
    await waitForPendingReads();
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
    await waitForPendingReads();
    closing = true;
    enforceCloseTimeout(app.server, connections);
    for (const socket of open) {
      void closeIfUnused(socket);
    }
  });
}

/** Ends when the process has read what came for it before. */
async function waitForPendingReads(): Promise<void> {
  await nextTurn(); // out of the present turn of the event loop, which may have polled already
  await nextTurn();
}
