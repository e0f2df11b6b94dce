import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PodHosts } from '../../src/pull-secrets/hosts-in-use.ts';
import type { KnownSecret } from '../../src/pull-secrets/secret-cache.ts';
import { UnstoredHosts } from '../../src/pull-secrets/unstored-hosts.ts';
import { UnstoredHostChecker } from '../../src/renewal/unstored-pod-checks.ts';

const secondMs = 1_000;
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const failure = { code: 'forbidden', permanent: true, message: 'refused' };
const [x, y, z] = ['x', 'y', 'z'];

/** Looks on a clock that the test moves, at pods that it names. */
function setUp({ configured = [] as string[] } = {}) {
  const clock = { now: 0 };
  const unstored = new UnstoredHosts({ maxHostsPerNamespace: 200, monotonicNow: () => clock.now });
  const secrets = new Map<string, KnownSecret>();
  const forgotten: string[] = [];
  const pods = new Map<string, PodHosts>();
  const forbidden = new Set<string>();
  const looks = new UnstoredHostChecker({
    secretCache: {
      get: (namespace) => secrets.get(namespace),
      entries: () => secrets.entries(),
      forget: (namespace) => forgotten.push(namespace),
    },
    unstored,
    pods: {
      listPodHosts: async (namespace) => pods.get(namespace),
      isForbidden: (namespace) => forbidden.has(namespace),
    },
    isConfigured: (host) => configured.includes(host),
    monotonicNow: () => clock.now,
  });
  /** Moves the clock, and looks where it is due. */
  const pass = async (ms: number) => {
    clock.now += ms;
    const due = looks.takeDueNamespaces();
    await Promise.all(due.map((namespace) => looks.checkPods(namespace)));
    return due;
  };
  const podsName = (namespace: string, hosts: string[], referring = hosts) =>
    pods.set(namespace, {
      hosts: new Map(hosts.map((host) => [host, 'pod'])),
      referring: new Set(referring),
    });
  const hasUnmanaged = (namespace: string, uid: string, ...former: string[]) =>
    secrets.set(namespace, {
      ...{ uid, resourceVersion: '1', isManaged: false, isIntact: false, hosts: new Map(), observedAt: 0 },
      hasTrustedHosts: true,
      formerHosts: new Map(former.map((host) => [host, undefined])),
      requestedAt: new Map(),
    });
  const kept = (namespace: string) => [...(unstored.byNamespace().get(namespace)?.hosts.keys() ?? [])];
  return { unstored, clock, forgotten, pods, forbidden, secrets, looks, pass, podsName, hasUnmanaged, kept };
}

describe('a look at the pods of a namespace with hosts that could not be stored', () => {
  it('comes when the pods are stored, every ten minutes, and forgets what none of them names', async () => {
    const { unstored, pass, podsName, kept } = setUp();
    unstored.add('a', [x, y], failure);
    podsName('a', [x]);
    assert.deepEqual(await pass(39 * secondMs), []);
    assert.deepEqual([await pass(secondMs), kept('a')], [['a'], [x]]);
    assert.deepEqual(await pass(9 * minuteMs), []);
    podsName('a', []);
    assert.deepEqual([await pass(minuteMs), kept('a')], [['a'], []]);
    assert.deepEqual(await pass(24 * 60 * minuteMs), []);
  });

  it('keeps a host of a pod that was admitted a moment ago, and renews the time of those that pods name', async () => {
    const { unstored, clock, pass, podsName, kept } = setUp();
    unstored.add('a', [x, y], failure);
    podsName('a', [x]);
    clock.now = 30 * secondMs;
    unstored.add('a', [y], failure);
    assert.deepEqual([await pass(10 * secondMs), kept('a')], [['a'], [x, y]]);
    assert.equal(unstored.byNamespace().get('a')?.hosts.get(x)?.requestedAt, 40 * secondMs);
  });

  it('keeps what the operator configured as long as provisioning requests it', async () => {
    const { unstored, pass, podsName, kept } = setUp({ configured: [x] });
    unstored.add('a', [x], failure);
    podsName('a', []);
    assert.deepEqual([await pass(minuteMs), kept('a')], [['a'], [x]]);
    await pass(10 * minuteMs);
    assert.deepEqual([await pass(10 * minuteMs), kept('a')], [['a'], []]);
  });

  it('is tried again after a minute where pods cannot be listed, and forgets nothing', async () => {
    const { unstored, pods, pass, kept } = setUp();
    unstored.add('a', [x], failure);
    pods.delete('a');
    assert.deepEqual([await pass(minuteMs), kept('a')], [['a'], [x]]);
    assert.deepEqual([await pass(59 * secondMs), await pass(secondMs)], [[], ['a']]);
  });
});

describe('a look at the pods of a namespace with an unmanaged Secret', () => {
  it('comes at first sight, finds the hosts of pods that refer to it, and comes again rarely', async () => {
    const { pass, podsName, hasUnmanaged, kept, unstored, secrets } = setUp();
    hasUnmanaged('a', 'one');
    podsName('a', [x, y], [x]);
    hasUnmanaged('b', 'two');
    podsName('b', [z], []);
    assert.deepEqual([await pass(0), kept('a'), kept('b')], [['a', 'b'], [x], []]);
    assert.equal(unstored.byNamespace().get('a')?.failure.code, 'foreign-secret');
    assert.deepEqual(await pass(10 * minuteMs), ['a']);
    assert.deepEqual(await pass(50 * minuteMs), ['a', 'b']);
    hasUnmanaged('b', 'three');
    podsName('b', [z]);
    assert.deepEqual([await pass(secondMs), kept('b')], [['b'], [z]], 'another Secret took its place');
    secrets.delete('b');
    assert.deepEqual(await pass(secondMs), []);
  });

  it('does not come where the operator has taken the Secret over', async () => {
    const { pass, podsName, hasUnmanaged, secrets } = setUp();
    hasUnmanaged('a', 'one', x);
    podsName('a', [x]);
    secrets.set('a', { ...(secrets.get('a') as KnownSecret), isOptedOut: true });
    assert.deepEqual(await pass(hourMs), []);
  });

  it('keeps of the hosts that the managed Secret had those that pods name', async () => {
    const { pass, podsName, hasUnmanaged, kept, forgotten, unstored } = setUp();
    hasUnmanaged('a', 'one', x, y);
    podsName('a', [x], []);
    assert.deepEqual(await pass(39 * secondMs), [], 'a pod of which nothing is known may be on its way');
    await pass(secondMs);
    assert.deepEqual([kept('a'), forgotten], [[x], ['a']]);
    assert.equal(
      unstored.byNamespace().get('a')?.hosts.get(x)?.since,
      0,
      'it fails since the Secret was seen',
    );
  });

  it('changes nothing where pods cannot be listed', async () => {
    const { pass, hasUnmanaged, kept, forgotten } = setUp();
    hasUnmanaged('a', 'one', x);
    assert.deepEqual(await pass(minuteMs), ['a']);
    assert.deepEqual([kept('a'), forgotten], [[], []]);
  });

  it('keeps what the managed Secret had for a limited time where the right to list pods is missing', async () => {
    const { pass, hasUnmanaged, kept, forgotten, forbidden, unstored, clock } = setUp();
    hasUnmanaged('a', 'one', x);
    forbidden.add('a');
    await pass(minuteMs);
    assert.deepEqual([kept('a'), forgotten], [[x], ['a']]);
    clock.now += 24 * 60 * minuteMs;
    unstored.expire(24 * 60 * minuteMs);
    assert.deepEqual(kept('a'), []);
  });

  it('comes in every namespace in time, also where there are more than can be looked at', async () => {
    const { unstored, pods, pass } = setUp();
    const namespaces = Array.from({ length: 300 }, (_, index) => `team-${index}`);
    for (const namespace of namespaces) unstored.add(namespace, [x], failure);
    pods.clear(); // none can be listed, so each namespace is due again after a minute
    await pass(minuteMs);
    const looked = new Map<string, number>();
    for (let tick = 0; tick < 60; tick += 1) {
      for (const namespace of await pass(5 * secondMs)) {
        looked.set(namespace, (looked.get(namespace) ?? 0) + 1);
      }
    }
    assert.equal(looked.size, namespaces.length);
  });

  it('begins in a few namespaces at a time', async () => {
    const { pass, hasUnmanaged } = setUp();
    for (let index = 0; index < 25; index += 1) hasUnmanaged(`team-${index}`, 'one');
    const begun = [await pass(0), await pass(1), await pass(1), await pass(1)];
    assert.deepEqual(
      begun.map((namespaces) => namespaces.length),
      [10, 10, 5, 0],
    );
  });
});
