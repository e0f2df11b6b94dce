// The HTTPS server of the webhook.
import { createServer, type Server, type ServerOptions } from 'node:https';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { type FastifyInstance, type FastifyReply, fastify } from 'fastify';
import { throttleReport } from '../util/throttle-report.ts';
import { formatErrorBody } from './admission-response.ts';
import { type BodyHandlerDependencies, createBodyHandler } from './body-handler.ts';
import { BodyReceiver, BodyRejectedError } from './body-receiver.ts';
import { freeMemory } from './chunk-buffer.ts';
import { createClientGuard } from './client-auth.ts';
import { type Connections, enforceCloseTimeout, limitConnections } from './connection-limits.ts';
import { createFastPath } from './fast-path.ts';
import type { WebhookResponse } from './handler.ts';
import * as limits from './limits.ts';
import { createTlsOptions, type TlsIdentity } from './tls-options.ts';

export interface WebhookDependencies extends BodyHandlerDependencies {
  /** The first identity. {@link updateTlsIdentity} replaces it. */
  readonly identity: TlsIdentity;
  /**
   * Patterns for the names of clients, if `identity` has a CA for clients. If empty, every client with a certificate of that CA
   * is allowed.
   */
  readonly allowedNames?: readonly string[];
  readonly maxConnections: number;
  /** Whether the process is shutting down, so that clients should connect to another replica. */
  isDraining(): boolean;
}

export type Webhook = FastifyInstance<Server>;

/** Longer than the 90 s for which Go keeps an idle connection, so that the API server closes connections first. In ms. */
const keepAliveMs = 120_000;

/** How long an unused connection stays open for its first request while the server closes, in ms. */
const firstRequestTimeoutMs = 1_000;

/** Minimum time between two log lines about closed connections, in ms. */
const logIntervalMs = 60_000;

const path = '/mutate';

const monotonicNow = () => performance.now();

/**
 * The HTTPS application with `POST /mutate`. It is not listening yet. Every request gets a response. While draining, each response
 * closes its connection, because the API server would reuse it otherwise. Memory use per client and in total is bounded
 * (limits.ts).
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
  const handleOnFastPath = createFastPath({
    path,
    maxBodyBytes: limits.smallBodyBytes,
    handleBody,
    isDraining,
  });
  const options: ServerOptions = {
    ...createTlsOptions(identity),
    requestCert: identity.clientCaPem !== undefined,
    rejectUnauthorized: false, // the client guard rejects clients and reports the reason
    handshakeTimeout: limits.handshakeTimeoutMs,
    keepAliveTimeout: keepAliveMs,
    headersTimeout: limits.headersTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: limits.timeoutCheckIntervalMs,
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
        if (!handleOnFastPath(request, response)) {
          handleWithFastify(request, response);
        }
      }),
    logger: false,
    // a request on an open connection is handled normally while the server closes
    return503OnClosing: false,
  });
  drainConnections(app, connections);
  addFallbackRoutes(app, handleBody, dependencies);
  return app;
}

/** Replaces the serving certificate and the CA of clients, for new connections. */
export function updateTlsIdentity(app: Webhook, identity: TlsIdentity): void {
  app.server.setSecureContext(createTlsOptions(identity));
}

function createEvictionReporter({ log, onRefused, maxConnections }: WebhookDependencies): () => void {
  const report = throttleReport(logIntervalMs, monotonicNow, (connections) =>
    log.warn({ connections, maxConnections }, 'closed connections to make room for new ones'),
  );
  return () => {
    onRefused('too-many-connections');
    report();
  };
}

/** Routes for all requests that the fast path does not handle. */
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
      freeMemory(request.body); // the response may take seconds
    }
    if (result instanceof Promise) {
      result.then((resolved) => send(reply, resolved));
    } else {
      send(reply, result);
    }
  });
  app.setNotFoundHandler((_request, reply) =>
    send(reply, {
      status: 404,
      body: formatErrorBody('not-found', 'not found; the webhook path is POST /mutate'),
    }),
  );
  app.setErrorHandler<Error & { statusCode?: number; code?: string }>((error, _request, reply) => {
    const status = error.statusCode ?? 500;
    const isKnown = error instanceof BodyRejectedError;
    if (isKnown) {
      onRefused(error.code);
      // The rest of the body is not read. The API server's client retries within its timeout (client-go, checkWait).
      reply.header('connection', 'close');
      if (status === 503) {
        reply.header('retry-after', '1');
      }
    } else if (status >= 500) {
      log.error({ err: error }, 'failed to handle HTTP request');
    }
    const message = status >= 500 && !isKnown ? 'internal error' : error.message;
    return send(reply, { status, body: formatErrorBody(error.code ?? 'internal-error', message) });
  });
}

/**
 * Makes `close()` lose no request, and resolve soon after the last response. Without this, Node closes a connection as idle
 * although its next request has arrived and was only not read yet, as happens on a busy machine, and Go does not resend a POST
 * that was cut off (`persistConn.shouldRetryRequest` in net/http). Node also waits for connections that were never used, which
 * Go's clients leave open.
 */
function drainConnections(app: Webhook, connections: Connections): void {
  const open = new Set<TLSSocket>();
  let isClosing = false;
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
    if (isClosing) {
      void closeIfUnused(socket); // its handshake was in progress when the server started to close
    }
  });
  app.addHook('preClose', async () => {
    await waitForPendingReads();
    isClosing = true;
    enforceCloseTimeout(app.server, connections);
    for (const socket of open) {
      void closeIfUnused(socket);
    }
  });
}

/** Resolves when the process has read all data that has arrived. */
async function waitForPendingReads(): Promise<void> {
  await nextTurn(); // leaves the current turn of the event loop, which may have polled already
  await nextTurn();
}
