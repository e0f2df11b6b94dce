// The attacks that a tenant, or any client of the webhook's port, can carry out.

import { setTimeout as sleep } from 'node:timers/promises';
import { hostsAnnotation, managedByLabel, productName } from '../src/labels.ts';
import { maxParsedHosts } from '../src/pull-secrets/hosts-annotation.ts';
import { secretType } from '../src/pull-secrets/ownership.ts';
import { eventually } from '../test/support/eventually.ts';
import { generateNonexistentRegions } from '../test/support/nonexistent-regions.ts';
import { sumOf } from './exposition.ts';
import type { Attack, Finding, Scene } from './hostile-attack.ts';
import { attackPort } from './hostile-port-attacks.ts';
import { createNamespace, expiryOf, hostIn, reviewPod } from './hostile-tenants.ts';

const mebibyte = 1024 * 1024;
const largestReview = Math.floor(2.9 * mebibyte);

export const attacks: readonly Attack[] = [
  {
    name: '2a: 16 namespaces with 4 made-up regions each, AWS hangs',
    watchMs: 10_000,
    renewWithinMs: 120_000,
    start: async (scene) => {
      const regions = failMadeUpRegions(scene, 64, 'hang');
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
      const regions = failMadeUpRegions(scene, 200, 'hang');
      await attackerPod(scene, 'attacker', regions);
      const countCalls = counterOfCalls(scene, regions);
      await scene.restart();
      // If it makes no call, there is nothing to wait for.
      await eventually('the program tries the made-up regions', () => countCalls() >= 4, 6_000).catch(
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
      const stop = everyHalfSecond(async () => {
        const lifetime = lifetimeExpiringIn(5 * 60_000);
        await Promise.all(
          namespaces.map((one) => rewriteAnnotation(scene, one, 'ecr-pull-secrets', { [host]: lifetime })),
        );
      });
      const end = async () => {
        await stop();
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
      const regions = failMadeUpRegions(scene, 5 * 1_900, 'reset');
      const before = await scene.program.metrics();
      const countCalls = counterOfCalls(scene, regions);
      for (let index = 0; index < 5; index += 1) {
        const hosts = regions.slice(1_900 * index, 1_900 * (index + 1)).map(hostIn);
        await tenantSecret(scene, `attacker-${index}`, Object.fromEntries(hosts.map((host) => [host, past])));
      }
      const end = async () => {
        const calls = countCalls();
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

/** Lets AWS fail in regions that do not exist, and returns their names. */
function failMadeUpRegions({ ecr }: Scene, count: number, fault: 'hang' | 'reset'): string[] {
  const regions = generateNonexistentRegions(count);
  for (const region of regions) {
    ecr.fail(fault, { region });
  }
  return regions;
}

/** Returns a function that counts the AWS calls to these regions since now. */
function counterOfCalls({ ecr }: Scene, regions: readonly string[]): () => number {
  const before = ecr.calls.length;
  const names = new Set(regions);
  return () => ecr.calls.slice(before).filter(({ region }) => names.has(region)).length;
}

/** Creates a pod with regions whose endpoints do not respond. */
async function attackerPod(scene: Scene, namespace: string, regions: readonly string[]): Promise<void> {
  createNamespace(scene.cluster, namespace);
  await createPod(scene, namespace, regions);
}

async function createPod({ program }: Scene, namespace: string, regions: readonly string[]): Promise<void> {
  await reviewPod(program, namespace, regions.map(hostIn)).catch(() => undefined); // Its own delay is not measured.
}

/** A tenant that can only create pods, and creates them again and again. */
function madeUpHosts(name: string, registries: readonly object[]): Attack {
  const pods = 20;
  return {
    name,
    registries,
    watchMs: 20_000,
    renewWithinMs: 60_000,
    start: async (scene) => {
      const regions = failMadeUpRegions(scene, 1_000, 'hang');
      const countCalls = counterOfCalls(scene, regions);
      createNamespace(scene.cluster, 'attacker');
      const stop = everyHalfSecond(async () => {
        const perPod = regions.length / pods;
        const groups = Array.from({ length: pods }, (_, index) =>
          regions.slice(perPod * index, perPod * (index + 1)),
        );
        await Promise.all(groups.map((group) => createPod(scene, 'attacker', group)));
      });
      const end = async () => {
        await stop();
        return [{ note: `${countCalls()} AWS calls to made-up regions` }];
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
      const stopRewriting = everyHalfSecond(() =>
        rewriteAnnotation(scene, namespace, fieldManager, { [hostIn(region)]: past }),
      );
      let scrapes = 0;
      let hidden = 0;
      const stopScraping = everyHalfSecond(async () => {
        scrapes += 1;
        if (shownExpiry(await scene.program.metrics(), region) < Date.now()) {
          hidden += 1;
        }
      });
      const end = async () => {
        await Promise.all([stopRewriting(), stopScraping()]);
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

/** Repeats an action until the returned function is called, which resolves when the last one is complete. */
function everyHalfSecond(act: () => Promise<void>): () => Promise<void> {
  const stop = new AbortController();
  const repeat = async () => {
    while (!stop.signal.aborted) {
      await act();
      await sleep(500, undefined, { signal: stop.signal }).catch(() => undefined); // The abort only ends the wait.
    }
  };
  const repeating = repeat();
  return async () => {
    stop.abort();
    await repeating;
  };
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
