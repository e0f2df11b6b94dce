// The webhook in a process of its own, for tests that try to exhaust it. Started by limited.ts.
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PemPair } from '../../src/certificates/key-pair.ts';
import { rememberedHosts } from '../../src/ecr/registry-cache.ts';
import { jsonLog } from '../../src/telemetry/log.ts';
import { reviewAnswerer } from '../../src/webhook/handler.ts';
import { pullSecretReference } from '../../src/webhook/patch.ts';
import { webhook } from '../../src/webhook/server.ts';

/** How long the pull Secrets take: as with a region whose endpoint hangs, in ms. */
const ensureMs = 5_000;

const log = jsonLog('silent', new PassThrough());
/** The most CPU time of this thread between two looks at the clock, in ms: what other processes take does not count. */
let maxStallMs = 0;
let maxRss = 0;

process.once('message', async ({ pair, maxConnections }: { pair: PemPair; maxConnections: number }) => {
  const server = await serve(pair, maxConnections);
  process.on('message', (wanted) => {
    if (wanted === 'connections') {
      server.getConnections((_error, count) => process.send?.(count));
      return;
    }
    globalThis.gc?.();
    const { heapUsed, rss } = process.memoryUsage();
    process.send?.({ maxStallMs, heapUsed, maxRss: Math.max(rss, maxRss) });
    maxStallMs = 0;
  });
  process.send?.((server.address() as AddressInfo).port);
});

async function serve(pair: PemPair, maxConnections: number): Promise<Server> {
  const app = webhook({
    identity: { ...pair, clientCaPem: undefined },
    maxConnections,
    refused: () => undefined,
    log,
    draining: () => false,
    answer: reviewAnswerer({
      rules: {
        reference: pullSecretReference('ecr-pull-secrets'),
        registryOf: rememberedHosts(),
        exclude: { namespaces: [], accounts: [] },
      },
      onFailure: 'admit',
      deadlineMarginMs: 500,
      pullSecrets: {
        covers: (namespace) => namespace === 'covered',
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
