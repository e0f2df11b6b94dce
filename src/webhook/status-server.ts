// The plain HTTP server for probes and Prometheus.
import { type FastifyInstance, fastify } from 'fastify';
import { enforceCloseTimeout, limitConnections } from './connection-limits.ts';
import {
  headersTimeoutMs,
  maxStatusConnections,
  requestTimeoutMs,
  timeoutCheckIntervalMs,
} from './limits.ts';

export interface StatusDependencies {
  /** Why the process should receive no reviews now; empty if it is ready. */
  getNotReadyReasons(): readonly string[];
  /** Content of `/metrics`; undefined: there is no `/metrics`. */
  metrics?(): Promise<{ contentType: string; text: string }>;
}

/** Probes arrive every few seconds; a scraper with a longer interval opens a new connection each time. In ms. */
const keepAliveMs = 30_000;

/** A connection without activity is closed after this time, for example if the client does not read the response. In ms. */
const inactivityMs = 30_000;

/**
 * The HTTP application with `/healthz`, `/readyz` and optionally `/metrics`. It is not listening yet. Any client in the cluster
 * may connect, so it reads no bodies and keeps few connections, of which the newest is always served.
 */
export function createStatusServer({ getNotReadyReasons, metrics }: StatusDependencies): FastifyInstance {
  const app = fastify({
    logger: false,
    return503OnClosing: false,
    keepAliveTimeout: keepAliveMs,
    connectionTimeout: inactivityMs,
    requestTimeout: requestTimeoutMs,
    http: { headersTimeout: headersTimeoutMs, connectionsCheckingInterval: timeoutCheckIntervalMs },
    exposeHeadRoutes: false,
  });
  const connections = limitConnections(app.server, {
    maxConnections: maxStatusConnections,
    monotonicNow: () => performance.now(),
    onEvicted: () => undefined,
  });
  app.addHook('onRequest', (request, reply, done) => {
    if (connections.acceptRequest(request.raw, reply.raw)) {
      done();
    } else {
      reply.hijack(); // the connection has been closed
    }
  });
  app.addHook('preClose', async () => enforceCloseTimeout(app.server, connections));
  app.removeAllContentTypeParsers();
  app.get('/healthz', (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/readyz', (_request, reply) => {
    const reasons = getNotReadyReasons();
    const text = reasons.length === 0 ? 'ok\n' : `${reasons.join('\n')}\n`;
    return reply
      .code(reasons.length === 0 ? 200 : 503)
      .type('text/plain')
      .send(text);
  });
  if (metrics !== undefined) {
    addMetrics(app, metrics);
  }
  return app;
}

function addMetrics(app: FastifyInstance, metrics: Required<StatusDependencies>['metrics']): void {
  const getExposition = coalesceCalls(async () => {
    const { contentType, text } = await metrics();
    // A Buffer, because a string would be copied for each client that reads slowly.
    return { contentType, bytes: Buffer.from(text) };
  });
  app.get('/metrics', async (_request, reply) => {
    const { contentType, bytes } = await getExposition();
    return reply.header('content-type', contentType).send(bytes);
  });
}

/** Calls during a call in flight receive its result. */
function coalesceCalls<T>(call: () => Promise<T>): () => Promise<T> {
  let inFlight: Promise<T> | undefined;
  return () => {
    inFlight ??= call().finally(() => {
      inFlight = undefined;
    });
    return inFlight;
  };
}
