// Tests when the pods of namespaces with unstored hosts are listed, and what follows from that.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PodHosts } from '../../src/pull-secrets/hosts-in-use.ts';
import type { CachedSecret } from '../../src/pull-secrets/secret-cache.ts';
import { UnstoredHosts } from '../../src/pull-secrets/unstored-hosts.ts';
import { UnstoredHostChecker } from '../../src/renewal/unstored-pod-checks.ts';

const secondMs = 1_000;
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const failure = { code: 'forbidden', permanent: true, message: 'refused' };
const [x, y, z] = ['x', 'y', 'z'];

/** Creates a checker with a clock and pods that the test controls. */
function setUp({ configured = [] as string[], denied: deniedHosts = [] as string[] } = {}) {
  const clock = { now: 0 };
  const unstored = new UnstoredHosts({ maxHostsPerNamespace: 200, monotonicNow: () => clock.now });
  const secrets = new Map<string, CachedSecret>();
  const forgotten: string[] = [];
  const pods = new Map<string, PodHosts>();
  const forbidden = new Set<string>();
  const checker = new UnstoredHostChecker({
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
    isDenied: (_namespace, host) => deniedHosts.includes(host),
    monotonicNow: () => clock.now,
  });
  /** Moves the clock, and checks the namespaces that are due. */
  const pass = async (ms: number) => {
    clock.now += ms;
    const due = checker.takeDueNamespaces();
    await Promise.all(due.map((namespace) => checker.checkPods(namespace)));
    return due;
  };
  const setPods = (namespace: string, hosts: string[], referring = hosts) =>
    pods.set(namespace, {
      hosts: new Map(hosts.map((host) => [host, 'pod'])),
      referring: new Set(referring),
    });
  const putUnmanaged = (namespace: string, uid: string, ...former: string[]) =>
    secrets.set(namespace, {
      ...{ uid, resourceVersion: '1', isManaged: false, isIntact: false, hosts: new Map(), observedAt: 0 },
      hasTrustedHosts: true,
      formerHosts: new Map(former.map((host) => [host, undefined])),
      requestedAt: new Map(),
    });
  const unstoredHosts = (namespace: string) => [
    ...(unstored.byNamespace().get(namespace)?.hosts.keys() ?? []),
  ];
  return {
    unstored,
    clock,
    forgotten,
    pods,
    forbidden,
    secrets,
    checker,
    pass,
    setPods,
    putUnmanaged,
    unstoredHosts,
  };
}

describe('check of the pods of a namespace with unstored hosts', () => {
  it('starts when the pods are stored, repeats every ten minutes, and forgets hosts that no pod uses', async () => {
    const { unstored, pass, setPods, unstoredHosts } = setUp();
    unstored.add('a', [x, y], failure);
    setPods('a', [x]);
    assert.deepEqual(await pass(39 * secondMs), []);
    assert.deepEqual([await pass(secondMs), unstoredHosts('a')], [['a'], [x]]);
    assert.deepEqual(await pass(9 * minuteMs), []);
    setPods('a', []);
    assert.deepEqual([await pass(minuteMs), unstoredHosts('a')], [['a'], []]);
    assert.deepEqual(await pass(24 * 60 * minuteMs), []);
  });

  it('keeps a host that was requested recently, and updates the request time of those that pods use', async () => {
    const { unstored, clock, pass, setPods, unstoredHosts } = setUp();
    unstored.add('a', [x, y], failure);
    setPods('a', [x]);
    clock.now = 30 * secondMs;
    unstored.add('a', [y], failure);
    assert.deepEqual([await pass(10 * secondMs), unstoredHosts('a')], [['a'], [x, y]]);
    assert.equal(unstored.byNamespace().get('a')?.hosts.get(x)?.requestedAt, 40 * secondMs);
  });

  it('keeps a configured host as long as provisioning requests it', async () => {
    const { unstored, pass, setPods, unstoredHosts } = setUp({ configured: [x] });
    unstored.add('a', [x], failure);
    setPods('a', []);
    assert.deepEqual([await pass(minuteMs), unstoredHosts('a')], [['a'], [x]]);
    await pass(10 * minuteMs);
    assert.deepEqual([await pass(10 * minuteMs), unstoredHosts('a')], [['a'], []]);
  });

  it('is retried after a minute if pods cannot be listed, and forgets nothing', async () => {
    const { unstored, pods, pass, unstoredHosts } = setUp();
    unstored.add('a', [x], failure);
    pods.delete('a');
    assert.deepEqual([await pass(minuteMs), unstoredHosts('a')], [['a'], [x]]);
    assert.deepEqual([await pass(59 * secondMs), await pass(secondMs)], [[], ['a']]);
  });
});

describe('check of the pods of a namespace with an unmanaged Secret', () => {
  it('starts at once, finds the hosts of pods that refer to the Secret, and repeats rarely', async () => {
    const { pass, setPods, putUnmanaged, unstoredHosts, unstored, secrets } = setUp();
    putUnmanaged('a', 'one');
    setPods('a', [x, y], [x]);
    putUnmanaged('b', 'two');
    setPods('b', [z], []);
    assert.deepEqual([await pass(0), unstoredHosts('a'), unstoredHosts('b')], [['a', 'b'], [x], []]);
    assert.equal(unstored.byNamespace().get('a')?.failure.code, 'unmanaged-secret');
    assert.deepEqual(await pass(10 * minuteMs), ['a']);
    assert.deepEqual(await pass(50 * minuteMs), ['a', 'b']);
    putUnmanaged('b', 'three');
    setPods('b', [z]);
    assert.deepEqual([await pass(secondMs), unstoredHosts('b')], [['b'], [z]], 'another Secret replaced it');
    secrets.delete('b');
    assert.deepEqual(await pass(secondMs), []);
  });

  it('finds no hosts that a rule denies', async () => {
    const { pass, setPods, putUnmanaged, unstoredHosts } = setUp({ denied: [x] });
    putUnmanaged('a', 'one', x, z);
    setPods('a', [x, y, z], [x, y]);
    assert.deepEqual([await pass(minuteMs), unstoredHosts('a')], [['a'], [y, z]]);
  });

  it('does not start if the operator has opted the Secret out', async () => {
    const { pass, setPods, putUnmanaged, secrets } = setUp();
    putUnmanaged('a', 'one', x);
    setPods('a', [x]);
    secrets.set('a', { ...(secrets.get('a') as CachedSecret), isOptedOut: true });
    assert.deepEqual(await pass(hourMs), []);
  });

  it('keeps those hosts of the former managed Secret that pods use', async () => {
    const { pass, setPods, putUnmanaged, unstoredHosts, forgotten, unstored } = setUp();
    putUnmanaged('a', 'one', x, y);
    setPods('a', [x], []);
    assert.deepEqual(await pass(39 * secondMs), [], 'a recently admitted pod may not be stored yet');
    await pass(secondMs);
    assert.deepEqual([unstoredHosts('a'), forgotten], [[x], ['a']]);
    assert.equal(
      unstored.byNamespace().get('a')?.hosts.get(x)?.since,
      0,
      'it has failed since the Secret was observed',
    );
  });

  it('changes nothing if pods cannot be listed', async () => {
    const { pass, putUnmanaged, unstoredHosts, forgotten } = setUp();
    putUnmanaged('a', 'one', x);
    assert.deepEqual(await pass(minuteMs), ['a']);
    assert.deepEqual([unstoredHosts('a'), forgotten], [[], []]);
  });

  it('keeps the hosts of the former managed Secret for a limited time if listing pods is forbidden', async () => {
    const { pass, putUnmanaged, unstoredHosts, forgotten, forbidden, unstored, clock } = setUp();
    putUnmanaged('a', 'one', x);
    forbidden.add('a');
    await pass(minuteMs);
    assert.deepEqual([unstoredHosts('a'), forgotten], [[x], ['a']]);
    clock.now += 24 * 60 * minuteMs;
    unstored.expire(24 * 60 * minuteMs);
    assert.deepEqual(unstoredHosts('a'), []);
  });

  it('reaches every namespace even if more are due than a tick can start', async () => {
    const { unstored, pods, pass } = setUp();
    const namespaces = Array.from({ length: 300 }, (_, index) => `team-${index}`);
    for (const namespace of namespaces) {
      unstored.add(namespace, [x], failure);
    }
    pods.clear(); // none can be listed, so each namespace is due again after a minute
    await pass(minuteMs);
    const checks = new Map<string, number>();
    for (let tick = 0; tick < 60; tick += 1) {
      for (const namespace of await pass(5 * secondMs)) {
        checks.set(namespace, (checks.get(namespace) ?? 0) + 1);
      }
    }
    assert.equal(checks.size, namespaces.length);
  });

  it('starts in a few namespaces at a time', async () => {
    const { pass, putUnmanaged } = setUp();
    for (let index = 0; index < 25; index += 1) {
      putUnmanaged(`team-${index}`, 'one');
    }
    const started = [await pass(0), await pass(1), await pass(1), await pass(1)];
    assert.deepEqual(
      started.map((namespaces) => namespaces.length),
      [10, 10, 5, 0],
    );
  });
});
