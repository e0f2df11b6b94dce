// The webhook in a separate process, for tests that try to exhaust it. Started by memory-limited-webhook.ts.
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PemKeyPair } from '../../src/certificates/key-pair.ts';
import { createCachedRegistryResolver } from '../../src/ecr/registry-cache.ts';
import { createPullSecretReference } from '../../src/injection/patch.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { createAdmissionHandler } from '../../src/webhook/handler.ts';
import { createWebhook } from '../../src/webhook/server.ts';
import { resolveRegistry } from '../support/registries.ts';

/** How long `ensure` takes, as if the endpoint of a region hung, in ms. */
const ensureMs = 5_000;

const log = createJsonLog('silent', new PassThrough());
/** Maximum CPU time of this thread between two timer ticks, in ms. The time of other processes does not count. */
let maxStallMs = 0;
let maxRss = 0;

process.once(
  'message',
  async ({ keyPair, maxConnections }: { keyPair: PemKeyPair; maxConnections: number }) => {
    const server = await serve(keyPair, maxConnections);
    process.on('message', (query) => {
      if (query === 'connections') {
        server.getConnections((_error, count) => process.send?.(count));
        return;
      }
      globalThis.gc?.();
      const { heapUsed, rss } = process.memoryUsage();
      process.send?.({ maxStallMs, heapUsed, maxRss: Math.max(rss, maxRss) });
      maxStallMs = 0;
    });
    process.send?.((server.address() as AddressInfo).port);
  },
);

async function serve(keyPair: PemKeyPair, maxConnections: number): Promise<Server> {
  const app = createWebhook({
    identity: { ...keyPair, clientCaPem: undefined },
    maxConnections,
    onRefused: () => undefined,
    log,
    isDraining: () => false,
    handleReview: createAdmissionHandler({
      rules: {
        reference: createPullSecretReference('ecr-pull-secrets'),
        resolveRegistry: createCachedRegistryResolver(resolveRegistry),
        exclude: { namespaces: [], accounts: [] },
        findDenyingRule: () => undefined,
      },
      onFailure: 'admit',
      deadlineMarginMs: 500,
      pullSecrets: {
        hasFreshTokens: (namespace) => namespace === 'fresh',
        ensure: (_namespace, registries) => sleep(ensureMs, registries).then(() => []),
      },
      log,
      metrics: { review: () => undefined, admissionSeconds: () => undefined },
    }),
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  let before = process.threadCpuUsage();
  setInterval(() => {
    const { user, system } = process.threadCpuUsage(before);
    maxStallMs = Math.max(maxStallMs, (user + system) / 1000);
    before = process.threadCpuUsage();
    maxRss = Math.max(maxRss, process.memoryUsage.rss());
  }, 5);
  return app.server;
}
