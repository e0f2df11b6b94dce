// Attacks on the webhook's port, which any client in the cluster can reach, from a worker thread.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { eventually } from '../test/support/eventually.ts';
import { generateNonexistentRegions } from '../test/support/nonexistent-regions.ts';
import type { Attack, Started } from './hostile-attack.ts';
import type { AttackerData, Order, Tally } from './hostile-attacker.ts';
import type { Launched } from './hostile-launch.ts';
import { createNamespace, hostIn } from './hostile-tenants.ts';

/** An attack on the webhook's port that continues during the measurement. */
export function attackPort(name: string, ...orders: readonly Order[]): Attack {
  return {
    name,
    watchMs: 10_000,
    renewWithinMs: 30_000,
    start: async (scene) => {
      const [region = ''] = generateNonexistentRegions(1);
      scene.ecr.fail('hang', { region });
      createNamespace(scene.cluster, 'attacker');
      const started = orders.map((order) => carryOut(order, region, scene.program));
      return {
        complete: Promise.all(started.map(({ complete }) => complete)),
        end: async () => (await Promise.all(started.map(({ end }) => end()))).flat(),
      };
    },
  };
}

function carryOut(order: Order, region: string, { webhookUrl, caPem }: Launched): Started {
  // Pods whose log lines matter get a cached token, so that many of them are admitted quickly.
  const host = hostIn(order.kind === 'bodies' && order.body === 'long-name' ? 'eu-central-1' : region);
  const data: AttackerData = { webhookUrl, caPem, host, order };
  const worker = new Worker(new URL('hostile-attacker.ts', import.meta.url), { workerData: data });
  let tally: Tally = {};
  worker.on('message', (latest: Tally) => {
    tally = latest;
  });
  const failed = once(worker, 'error').then(([error]) => Promise.reject(error));
  failed.catch(() => undefined); // Rethrown below.
  const endless = order.kind === 'bodies' && order.count === undefined;
  // If the machine is too slow to send everything, the tally shows how much was sent.
  const sent = () =>
    eventually('all is sent', () => tally['all sent'] !== undefined, 45_000).catch(() => undefined);
  return {
    complete: endless ? Promise.resolve() : Promise.race([sent(), failed]),
    end: async () => {
      await Promise.race([worker.terminate(), failed]);
      return [{ note: formatTally(tally) }];
    },
  };
}

function formatTally(tally: Tally): string {
  const counts = Object.entries(tally).filter(([outcome]) => outcome !== 'all sent');
  return counts.map(([outcome, times]) => `${outcome}: ${times}`).join(', ') || 'no response';
}
