import { type FastifyInstance, fastify } from 'fastify';
import { enforceCloseTimeout, limitConnections } from './connection-limits.ts';
import { headersTimeoutMs, maxStatusConnections, requestTimeoutMs, timeoutCheckMs } from './limits.ts';

/** What the status port shows. */
export interface StatusDependencies {
  /** Why the process should get no reviews now; none: it is ready. */
  getNotReadyReasons(): readonly string[];
  /** None: there is no `/metrics`. */
  metrics?(): Promise<{ contentType: string; text: string }>;
}

/** Probes come every few seconds; a scraper that keeps its connection opens another one after this, in ms. */
const keepAliveMs = 30_000;

/** An answer that a client has not read by then is given up, in ms. */
const inactivityMs = 30_000;

/**
 * The plain HTTP application for probes and Prometheus: `/healthz`, `/readyz` and perhaps `/metrics`. It is not listening
 * yet. Anybody in the cluster may reach it, so it reads no bodies and keeps few connections: the newest is always served.
 */
export function createStatusServer({ getNotReadyReasons, metrics }: StatusDependencies): FastifyInstance {
  const app = fastify({
    logger: false,
    return503OnClosing: false,
    keepAliveTimeout: keepAliveMs,
    connectionTimeout: inactivityMs,
    requestTimeout: requestTimeoutMs,
    http: { headersTimeout: headersTimeoutMs, connectionsCheckingInterval: timeoutCheckMs },
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
      reply.hijack(); // its connection is closed
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
  if (metrics !== undefined) addMetrics(app, metrics);
  return app;
}

function addMetrics(app: FastifyInstance, metrics: Required<StatusDependencies>['metrics']): void {
  const getExposition = coalesceCalls(async () => {
    const { contentType, text } = await metrics();
    // Bytes, because a string is copied for each client that reads slowly.
    return { contentType, bytes: Buffer.from(text) };
  });
  app.get('/metrics', async (_request, reply) => {
    const { contentType, bytes } = await getExposition();
    return reply.header('content-type', contentType).send(bytes);
  });
}

/** Calls that come while one is in flight get its result. */
function coalesceCalls<T>(call: () => Promise<T>): () => Promise<T> {
  let inFlight: Promise<T> | undefined;
  return () => {
    inFlight ??= call().finally(() => {
      inFlight = undefined;
    });
    return inFlight;
  };
}
