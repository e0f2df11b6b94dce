import { type FastifyInstance, fastify } from 'fastify';

/** What the status port shows. */
export interface StatusParts {
  /** Why the process should get no reviews now; none: it is ready. */
  notReady(): readonly string[];
  metrics(): Promise<{ contentType: string; text: string }>;
}

/** The plain HTTP application for probes and Prometheus: `/healthz`, `/readyz`, `/metrics`. It is not listening yet. */
export function statusPages({ notReady, metrics }: StatusParts): FastifyInstance {
  const app = fastify({ logger: false, return503OnClosing: false });
  app.get('/healthz', (_request, reply) => reply.type('text/plain').send('ok\n'));
  app.get('/readyz', (_request, reply) => {
    const reasons = notReady();
    const text = reasons.length === 0 ? 'ok\n' : `${reasons.join('\n')}\n`;
    return reply
      .code(reasons.length === 0 ? 200 : 503)
      .type('text/plain')
      .send(text);
  });
  app.get('/metrics', async (_request, reply) => {
    const { contentType, text } = await metrics();
    return reply.header('content-type', contentType).send(text);
  });
  return app;
}
