// The attacks that a tenant, or any client of the webhook's port, can carry out.

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { hostsAnnotation, managedByLabel, productName } from '../src/labels.ts';
import { maxParsedHosts } from '../src/pull-secrets/hosts-annotation.ts';
import { secretType } from '../src/pull-secrets/ownership.ts';
import type { ApiStandIn } from '../test/doubles/api-server/api-stand-in.ts';
import type { EcrDouble } from '../test/doubles/ecr/ecr-double.ts';
import { eventually } from '../test/support/eventually.ts';
import { generateNonexistentRegions } from '../test/support/nonexistent-regions.ts';
import { sumOf } from './exposition.ts';
import type { AttackerData, Order, Tally } from './hostile-attacker.ts';
import type { Launched } from './hostile-launch.ts';
import { createNamespace, expiryOf, hostIn, reviewPod } from './hostile-tenants.ts';

/** What an attack can reach, and where its effect shows. */
export interface Scene {
  readonly cluster: ApiStandIn;
  readonly ecr: EcrDouble;
  program: Launched;
  /** Stops the program and starts it again. */
  restart(): Promise<void>;
}

/** An effect of an attack that the common measures do not cover. */
export interface Finding {
  readonly note: string;
  /** Whether it meets its goal; not set if there is no goal. */
  readonly met?: boolean;
}

export interface Attack {
  readonly name: string;
  /** Minimum duration of the measurement, and how long the renewals of the other tenants may take, in ms. */
  readonly watchMs: number;
  readonly renewWithinMs: number;
  readonly stalledReader?: boolean;
  /** The `registries` of the configuration; none if not given. */
  readonly registries?: readonly object[];
  /** Resolves when the attack has started. */
  start(scene: Scene): Promise<Started>;
}

export interface Started {
  /** Resolves when all of its connections and requests have started; the measurement lasts until then. Not set if they have. */
  readonly complete?: Promise<unknown>;
  /** Ends the attack after the measurement. */
  end(): Promise<readonly Finding[]>;
}

const mebibyte = 1024 * 1024;
const largestReview = Math.floor(2.9 * mebibyte);

export const attacks: readonly Attack[] = [
  {
    name: '2a: 16 namespaces with 4 made-up regions each, AWS hangs',
    watchMs: 10_000,
    renewWithinMs: 120_000,
    start: async (scene) => {
      const regions = generateNonexistentRegions(64);
      for (const region of regions) {
        scene.ecr.fail('hang', { region });
      }
      await Promise.all(
        Array.from({ length: 16 }, (_, index) =>
          attackerPod(scene, `attacker-${index}`, regions.slice(4 * index, 4 * index + 4)),
        ),
      );
      return { end: async () => [] };
    },
  },
  {
    name: '2b: one pod with 200 made-up regions, AWS hangs, restart',
    watchMs: 10_000,
    renewWithinMs: 60_000,
    start: async (scene) => {
      const regions = generateNonexistentRegions(200);
      for (const region of regions) {
        scene.ecr.fail('hang', { region });
      }
      await attackerPod(scene, 'attacker', regions);
      const callsBefore = scene.ecr.calls.length;
      await scene.restart();
      const calls = () => scene.ecr.calls.slice(callsBefore).filter(({ region }) => regions.includes(region));
      // If it makes no call, there is nothing to wait for.
      await eventually('the program tries the made-up regions', () => calls().length >= 4, 6_000).catch(
        () => undefined,
      );
      const cached = firstToken(scene, 'first-known', 'eu-central-1');
      const uncached = firstToken(scene, 'first-unknown', 'eu-south-1');
      const end = async () => [
        { ...(await cached), note: `first token after the restart: ${(await cached).note}` },
        { ...(await uncached), note: `of a region without any token: ${(await uncached).note}` },
      ];
      return { end };
    },
  },
  {
    name: '2c: 14 namespaces that keep claiming that their tokens expire soon',
    watchMs: 10_000,
    renewWithinMs: 120_000,
    start: async (scene) => {
      const namespaces = Array.from({ length: 14 }, (_, index) => `attacker-${index}`);
      const host = hostIn('eu-central-1');
      for (const namespace of namespaces) {
        await tenantSecret(scene, namespace, { [host]: past });
      }
      const stop = new AbortController();
      const rewriting = everyHalfSecond(stop.signal, async () => {
        const lifetime = lifetimeExpiringIn(5 * 60_000);
        await Promise.all(
          namespaces.map((one) => rewriteAnnotation(scene, one, 'ecr-pull-secrets', { [host]: lifetime })),
        );
      });
      const end = async () => {
        stop.abort();
        await rewriting;
        return [];
      };
      return { end };
    },
  },
  madeUpHosts('2d: pods that name 1,000 made-up hosts in regions that hang', []),
  madeUpHosts('2e: the same, with an identity for each namespace', [
    { roleArn: 'arn:aws:iam::123456789012:role/ecr-{namespace}' },
  ]),
  attackPort('3a: POST of 7.9 MiB of empty objects', {
    kind: 'bodies',
    body: 'empty-objects',
    bytes: Math.floor(7.9 * mebibyte),
    concurrency: 1,
    pauseMs: 1_000,
  }),
  attackPort('3b: 2 reviews of 2.9 MiB at once, AWS hangs', {
    kind: 'bodies',
    body: 'large-value',
    bytes: largestReview,
    concurrency: 2,
    pauseMs: 500,
  }),
  attackPort('3c: 3,392 idle TLS connections', { kind: 'idle', connections: 3_392 }),
  attackPort('3d: 128 senders of 7.9 MiB that stop at 2 MiB', {
    kind: 'slow',
    connections: 128,
    declaredBytes: Math.floor(7.9 * mebibyte),
    sentBytes: 2 * mebibyte,
  }),
  attackPort('3e: reviews of 2.9 MiB of small values, 40 at once', {
    kind: 'bodies',
    body: 'many-values',
    bytes: largestReview,
    concurrency: 40,
    pauseMs: 0,
  }),
  attackPort(
    '3f: 560 requests without their last byte, and bodies of small values',
    { kind: 'slow', connections: 560, declaredBytes: 16_384, sentBytes: 16_383 },
    { kind: 'bodies', body: 'many-values', bytes: 170_000, concurrency: 6, pauseMs: 0 },
  ),
  {
    ...attackPort('6a: 300 pods with a name of 2.9 MB, stdout is not read', {
      kind: 'bodies',
      body: 'long-name',
      bytes: 2_900_000,
      concurrency: 4,
      pauseMs: 0,
      count: 300,
    }),
    stalledReader: true,
    watchMs: 25_000,
  },
  {
    name: '8a: 5 Secrets with 1,900 made-up regions each, AWS refuses',
    watchMs: 27_000,
    renewWithinMs: 60_000,
    start: async (scene) => {
      const regions = generateNonexistentRegions(5 * 1_900);
      for (const region of regions) {
        scene.ecr.fail('reset', { region });
      }
      const before = await scene.program.metrics();
      const callsBefore = scene.ecr.calls.length;
      for (let index = 0; index < 5; index += 1) {
        const hosts = regions.slice(1_900 * index, 1_900 * (index + 1)).map(hostIn);
        await tenantSecret(scene, `attacker-${index}`, Object.fromEntries(hosts.map((host) => [host, past])));
      }
      const end = async () => {
        const madeUp = new Set(regions);
        const calls = scene.ecr.calls.slice(callsBefore).filter(({ region }) => madeUp.has(region)).length;
        const after = await scene.program.metrics();
        const series = seriesIn(after) - seriesIn(before);
        const failing = sumOf(after, 'ecr_pull_secrets_failing_hosts');
        // Five namespaces with at most 200 hosts each, and the 64 regions that have their own label.
        return [
          { note: `${calls} AWS calls`, met: calls <= 1_000 },
          { note: `${series} new metric series`, met: series <= 200 },
          { note: `${failing} failing hosts`, met: failing <= 5 * maxParsedHosts },
        ];
      };
      return { end };
    },
  },
  expiredToken('8b: a tenant keeps claiming that its token of a real region has expired', {
    fieldManager: 'kubectl-edit',
    goal: true,
  }),
  // A user who can write a Secret chooses the field manager, so this cannot be distinguished from a write of the program.
  expiredToken('8c: the same under the field manager of the program', {
    fieldManager: 'ecr-pull-secrets',
    goal: false,
  }),
];

const past = { issuedAt: '2019-12-31T12:00:00Z', expiresAt: '2020-01-01T00:00:00Z' };

function lifetimeExpiringIn(ms: number) {
  const expiresAt = Date.now() + ms;
  const text = (at: number) => new Date(at).toISOString();
  return { issuedAt: text(expiresAt - 12 * 3_600_000), expiresAt: text(expiresAt) };
}

/** Creates a pod with regions whose endpoints do not respond. */
async function attackerPod(scene: Scene, namespace: string, regions: readonly string[]): Promise<void> {
  createNamespace(scene.cluster, namespace);
  await createPod(scene, namespace, regions);
}

async function createPod({ program }: Scene, namespace: string, regions: readonly string[]): Promise<void> {
  await reviewPod(program, namespace, regions.map(hostIn)).catch(() => undefined); // Its own delay is not measured.
}

/** A tenant that can only create pods, and creates one after the other. */
function madeUpHosts(name: string, registries: readonly object[]): Attack {
  const pods = 20;
  return {
    name,
    registries,
    watchMs: 20_000,
    renewWithinMs: 60_000,
    start: async (scene) => {
      const regions = generateNonexistentRegions(1_000);
      for (const region of regions) {
        scene.ecr.fail('hang', { region });
      }
      const callsBefore = scene.ecr.calls.length;
      const stop = new AbortController();
      createNamespace(scene.cluster, 'attacker');
      const creating = everyHalfSecond(stop.signal, async () => {
        const perPod = regions.length / pods;
        const groups = Array.from({ length: pods }, (_, index) =>
          regions.slice(perPod * index, perPod * (index + 1)),
        );
        await Promise.all(groups.map((group) => createPod(scene, 'attacker', group)));
      });
      const end = async () => {
        stop.abort();
        await creating;
        const madeUp = new Set(regions);
        const calls = scene.ecr.calls.slice(callsBefore).filter(({ region }) => madeUp.has(region)).length;
        return [{ note: `${calls} AWS calls to made-up regions` }];
      };
      return { end };
    },
  };
}

/** Stores a Secret that looks as if the program had written it. */
async function tenantSecret(
  { cluster }: Scene,
  namespace: string,
  hosts: Record<string, unknown>,
): Promise<void> {
  createNamespace(cluster, namespace);
  const auths = Object.fromEntries(Object.keys(hosts).map((host) => [host, { auth: btoa('AWS:tenant') }]));
  const { status } = await cluster.request('POST', `/api/v1/namespaces/${namespace}/secrets`, {
    metadata: {
      name: 'ecr-pull-secrets',
      labels: { [managedByLabel]: productName },
      annotations: { [hostsAnnotation]: JSON.stringify(hosts) },
    },
    type: secretType,
    data: { '.dockerconfigjson': btoa(JSON.stringify({ auths })) },
  });
  if (status !== 201) {
    throw new Error(`the tenant's Secret was refused: ${status}`);
  }
}

/** A tenant who repeats the same edit whenever the program repairs the Secret. */
function expiredToken(
  name: string,
  { fieldManager, goal }: { readonly fieldManager: string; readonly goal: boolean },
): Attack {
  return {
    name,
    watchMs: 8_000,
    renewWithinMs: 30_000,
    start: async (scene) => {
      const region = 'eu-central-1';
      const namespace = 'attacker';
      await tenantSecret(scene, namespace, { [hostIn(region)]: past });
      const stop = new AbortController();
      const rewriting = everyHalfSecond(stop.signal, () =>
        rewriteAnnotation(scene, namespace, fieldManager, { [hostIn(region)]: past }),
      );
      let scrapes = 0;
      let hidden = 0;
      const scraping = everyHalfSecond(stop.signal, async () => {
        scrapes += 1;
        if (shownExpiry(await scene.program.metrics(), region) < Date.now()) {
          hidden += 1;
        }
      });
      const end = async () => {
        stop.abort();
        await Promise.all([rewriting, scraping]);
        const note = `${hidden} of ${scrapes} scrapes show the made-up expiry in place of the real one`;
        return [goal ? { note, met: hidden === 0 } : { note }];
      };
      return { end };
    },
  };
}

async function rewriteAnnotation(
  { cluster }: Scene,
  namespace: string,
  fieldManager: string,
  hosts: Record<string, unknown>,
): Promise<void> {
  const annotations = { [hostsAnnotation]: JSON.stringify(hosts) };
  const path = `/api/v1/namespaces/${namespace}/secrets/ecr-pull-secrets?fieldManager=${fieldManager}`;
  await cluster.request(
    'PATCH',
    path,
    { metadata: { annotations } },
    {
      contentType: 'application/merge-patch+json',
    },
  );
}

async function everyHalfSecond(end: AbortSignal, act: () => Promise<void>): Promise<void> {
  while (!end.aborted) {
    await act();
    await sleep(500, undefined, { signal: end }).catch(() => undefined); // The abort only ends the wait.
  }
}

/** Returns the expiry that the metric of a region shows, in ms since the epoch, or infinity if there is none. */
function shownExpiry(exposition: string, region: string): number {
  const seconds = sumOf(
    exposition,
    'ecr_pull_secrets_token_expiration_timestamp_seconds',
    `region="${region}"`,
  );
  return seconds === 0 ? Number.POSITIVE_INFINITY : seconds * 1_000;
}

/** Creates a pod in a new namespace and measures when its token is stored. */
async function firstToken({ cluster, program }: Scene, namespace: string, region: string): Promise<Finding> {
  createNamespace(cluster, namespace);
  const started = performance.now();
  const review = reviewPod(program, namespace, [hostIn(region)]).catch(() => undefined); // Only the token counts.
  const stored = await eventually(
    'the token is stored',
    () => expiryOf(cluster, namespace, hostIn(region)) > Date.now(),
    60_000,
  ).catch(() => false);
  await review;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  return { note: stored ? `after ${seconds} s` : `none after ${seconds} s`, met: stored };
}

function seriesIn(exposition: string): number {
  return exposition.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length;
}

/** An attack on the webhook's port that continues during the measurement. */
function attackPort(name: string, ...orders: readonly Order[]): Attack {
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
