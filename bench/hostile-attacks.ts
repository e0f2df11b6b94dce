// The attacks: what a tenant, or any client of the webhook's port, can do.

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

/** Everything that an attack can reach, and that its effect can be seen in. */
export interface Scene {
  readonly cluster: ApiStandIn;
  readonly ecr: EcrDouble;
  program: Launched;
  /** Stops the program and starts it again. */
  restart(): Promise<void>;
}

/** What an attack did, as far as it is of interest beside the common measures. */
export interface Finding {
  readonly note: string;
  /** Whether it is as it should be; not given: there is no goal for it. */
  readonly met?: boolean;
}

export interface Attack {
  readonly name: string;
  /** How long the other tenants are watched at least, and how long their renewals may take, in ms. */
  readonly watchMs: number;
  readonly renewWithinMs: number;
  readonly stalledReader?: boolean;
  /** Resolves when the attack is under way. */
  start(scene: Scene): Promise<Started>;
}

export interface Started {
  /** Resolves when all of it is under way: the other tenants are watched until then. Not given: it is already. */
  readonly complete?: Promise<unknown>;
  /** Ends the attack after it has been watched. */
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
      for (const region of regions) scene.ecr.fail('hang', { region });
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
      for (const region of regions) scene.ecr.fail('hang', { region });
      await attackerPod(scene, 'attacker', regions);
      const callsBefore = scene.ecr.calls.length;
      await scene.restart();
      const calls = () => scene.ecr.calls.slice(callsBefore).filter(({ region }) => regions.includes(region));
      // where it makes none, there is nothing to wait for
      await eventually('the program tries the made-up regions', () => calls().length >= 4, 6_000).catch(
        () => undefined,
      );
      const known = firstToken(scene, 'first-known', 'eu-central-1');
      const unknown = firstToken(scene, 'first-unknown', 'eu-south-1');
      const end = async () => [
        { ...(await known), note: `first token after the restart: ${(await known).note}` },
        { ...(await unknown), note: `of a region without any token: ${(await unknown).note}` },
      ];
      return { end };
    },
  },
  {
    name: '2c: 14 namespaces that make their tokens look as if they expired soon, again and again',
    watchMs: 10_000,
    renewWithinMs: 120_000,
    start: async (scene) => {
      const namespaces = Array.from({ length: 14 }, (_, index) => `attacker-${index}`);
      const host = hostIn('eu-central-1');
      for (const namespace of namespaces) await tenantSecret(scene, namespace, { [host]: past });
      const stop = new AbortController();
      const rewriting = everyHalfSecond(stop.signal, async () => {
        const life = lifeThatEndsIn(5 * 60_000);
        await Promise.all(
          namespaces.map((one) => rewriteAnnotation(scene, one, 'ecr-pull-secrets', { [host]: life })),
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
  ported('3a: POST of 7.9 MiB of empty objects', {
    kind: 'bodies',
    body: 'empty-objects',
    bytes: Math.floor(7.9 * mebibyte),
    atOnce: 1,
    pauseMs: 1_000,
  }),
  ported('3b: 2 reviews of 2.9 MiB at once, AWS hangs', {
    kind: 'bodies',
    body: 'large-value',
    bytes: largestReview,
    atOnce: 2,
    pauseMs: 500,
  }),
  ported('3c: 3,392 idle TLS connections', { kind: 'idle', connections: 3_392 }),
  ported('3d: 128 senders of 7.9 MiB that stop at 2 MiB', {
    kind: 'slow',
    connections: 128,
    declaredBytes: Math.floor(7.9 * mebibyte),
    sentBytes: 2 * mebibyte,
  }),
  ported('3e: reviews of 2.9 MiB of small values, 40 at once', {
    kind: 'bodies',
    body: 'many-values',
    bytes: largestReview,
    atOnce: 40,
    pauseMs: 0,
  }),
  ported(
    '3f: 560 requests without their last byte, and bodies of small values',
    { kind: 'slow', connections: 560, declaredBytes: 16_384, sentBytes: 16_383 },
    { kind: 'bodies', body: 'many-values', bytes: 170_000, atOnce: 6, pauseMs: 0 },
  ),
  {
    ...ported('6a: 300 pods with a name of 2.9 MB, stdout is not read', {
      kind: 'bodies',
      body: 'long-name',
      bytes: 2_900_000,
      atOnce: 4,
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
      for (const region of regions) scene.ecr.fail('cut', { region });
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
        // 5 namespaces of at most 200 hosts, and the 64 regions that have a label of their own
        return [
          { note: `${calls} AWS calls`, met: calls <= 1_000 },
          { note: `${series} new metric series`, met: series <= 200 },
          { note: `${failing} failing hosts`, met: failing <= 5 * maxParsedHosts },
        ];
      };
      return { end };
    },
  },
  expiredToken('8b: a tenant writes again and again that its token of a real region has expired', {
    fieldManager: 'kubectl-edit',
    goal: true,
  }),
  // A user who can write a Secret chooses the field manager, so this cannot be told from a write of the program.
  expiredToken('8c: the same under the field manager of the program', {
    fieldManager: 'ecr-pull-secrets',
    goal: false,
  }),
];

const past = { issuedAt: '2019-12-31T12:00:00Z', expiresAt: '2020-01-01T00:00:00Z' };

function lifeThatEndsIn(ms: number) {
  const expiresAt = Date.now() + ms;
  const text = (at: number) => new Date(at).toISOString();
  return { issuedAt: text(expiresAt - 12 * 3_600_000), expiresAt: text(expiresAt) };
}

/** A pod that a tenant creates, with regions whose endpoints do not respond. */
async function attackerPod(scene: Scene, namespace: string, regions: readonly string[]): Promise<void> {
  createNamespace(scene.cluster, namespace);
  await reviewPod(scene.program, namespace, regions.map(hostIn)).catch(() => undefined); // its own delay is its own
}

/** A Secret that a tenant stores, made to look like one of the program's. */
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
  if (status !== 201) throw new Error(`the tenant's Secret was refused: ${status}`);
}

/** A Secret of a tenant that says the same again whenever it is repaired. */
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
        if (expiryShown(await scene.program.metrics(), region) < Date.now()) hidden += 1;
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
    await sleep(500, undefined, { signal: end }).catch(() => undefined); // the end is not an error
  }
}

/** Of a region's metric, in ms since the epoch; infinite where it is not shown. */
function expiryShown(exposition: string, region: string): number {
  const seconds = sumOf(exposition, 'ecr_pull_secrets_token_end_timestamp_seconds', `region="${region}"`);
  return seconds === 0 ? Number.POSITIVE_INFINITY : seconds * 1_000;
}

/** Creates a pod of a namespace that is new, and tells when its token was stored. */
async function firstToken({ cluster, program }: Scene, namespace: string, region: string): Promise<Finding> {
  createNamespace(cluster, namespace);
  const started = performance.now();
  const review = reviewPod(program, namespace, [hostIn(region)]).catch(() => undefined); // only its token counts
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

/** An attack of the webhook's port, which goes on while the others are watched. */
function ported(name: string, ...orders: readonly Order[]): Attack {
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
  // a pod whose log line matters is admitted at once, so that many of them come
  const host = hostIn(order.kind === 'bodies' && order.body === 'long-name' ? 'eu-central-1' : region);
  const data: AttackerData = { webhookUrl, caPem, host, order };
  const worker = new Worker(new URL('hostile-attacker.ts', import.meta.url), { workerData: data });
  let tally: Tally = {};
  worker.on('message', (latest: Tally) => {
    tally = latest;
  });
  const failed = once(worker, 'error').then(([error]) => Promise.reject(error));
  failed.catch(() => undefined); // passed on below
  const endless = order.kind === 'bodies' && order.count === undefined;
  // a machine that is too slow for all of it does what it can, which the tally shows
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
  const counts = Object.entries(tally).filter(([what]) => what !== 'all sent');
  return counts.map(([what, times]) => `${what}: ${times}`).join(', ') || 'nothing was answered';
}
