// Tests when pending pods are checked, and what is done about them, with a driven clock.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { KubeError } from '../../src/kube/errors.ts';
import { pendingHost } from '../../src/pull-secrets/unavailable-host.ts';
import { eventually } from '../support/eventually.ts';
import {
  host,
  minuteMs,
  ownedBy,
  pendingPod,
  rules,
  secondMs,
  setUpCatchUp,
  start,
} from './catch-up-fixture.ts';

const forbidden = () =>
  Promise.reject(new KubeError({ code: 'forbidden', operation: 'list pending pods', status: 403 }));

describe('the rounds of catch-up', () => {
  it('start when the cache is in sync, follow in intervals, and start again after it was out of sync', async () => {
    const { state, pass } = setUpCatchUp();
    state.isInSync = false;
    await pass(minuteMs);
    assert.equal(state.lists, 0);
    state.isInSync = true;
    await pass(secondMs);
    await pass(2 * secondMs);
    assert.equal(state.lists, 1);
    await pass(5 * minuteMs - secondMs);
    assert.equal(state.lists, 1);
    await pass(secondMs);
    assert.equal(state.lists, 2);
    state.isInSync = false;
    await pass(secondMs);
    state.isInSync = true;
    await pass(secondMs);
    await pass(2 * secondMs);
    assert.equal(state.lists, 3);
    assert.deepEqual(state.rounds, ['completed', 'completed', 'completed']);
  });

  it('of replicas are not at the same time', async () => {
    const times: number[] = [];
    for (const random of [0, 0.999]) {
      const { clock, pass } = setUpCatchUp({
        random: () => random,
        listPendingPods: async () => void times.push(clock.monotonicMs),
      });
      for (let second = 0; second < 400; second += 1) {
        await pass(secondMs);
      }
    }
    const [first = 0, next = 0, otherFirst = 0, otherNext = 0] = times;
    assert.ok(otherFirst - first >= secondMs, `${first} and ${otherFirst}`);
    assert.ok(otherNext - otherFirst - (next - first) >= 50 * secondMs, `${next} and ${otherNext}`);
  });

  it('start again soon if the cache was out of sync during a round', async () => {
    const listed = Promise.withResolvers<void>();
    const { catchUp, state, pass, clock } = setUpCatchUp({
      listPendingPods: () => {
        state.lists += 1;
        return listed.promise;
      },
    });
    const tick = (isInSync: boolean) => {
      state.isInSync = isInSync;
      clock.monotonicMs += 2 * secondMs;
      catchUp.tick();
    };
    for (const isInSync of [true, true, false, true]) {
      tick(isInSync);
    }
    assert.equal(state.lists, 1);
    listed.resolve();
    await catchUp.waitUntilIdle();
    await pass(2 * secondMs);
    assert.equal(state.lists, 2);
    await pass(2 * minuteMs);
    assert.equal(state.lists, 2);
  });

  it('of a page with many images let other work run meanwhile', async () => {
    const hostOf = (index: number) => host.replace(/^\d{12}/, String(200_000_000_000 + index));
    const { state, catchUp, clock, pass } = setUpCatchUp();
    state.pods = Array.from({ length: 20 }, (_, pod) =>
      pendingPod('shop', `p${pod}`, {
        images: Array.from({ length: 10_000 }, (_image, index) => `${hostOf(pod * 10_000 + index)}/app`),
      }),
    );
    await pass(0);
    clock.monotonicMs += 2 * secondMs;
    catchUp.tick();
    let turns = 0;
    while (state.rounds.length === 0) {
      await setImmediate();
      turns += 1;
    }
    assert.ok(turns >= 5, `${turns} turns`);
  });

  it('do not overlap, and end when the controller stops', async () => {
    let signal: AbortSignal | undefined;
    const { catchUp, state, pass, clock } = setUpCatchUp({
      listPendingPods: (_, given) => {
        state.lists += 1;
        signal = given;
        return new Promise((_resolve, reject) => {
          given.addEventListener('abort', () => reject(given.reason));
        });
      },
    });
    await pass(0);
    clock.monotonicMs += 2 * secondMs;
    catchUp.tick();
    clock.monotonicMs += 20 * minuteMs;
    catchUp.tick();
    assert.equal(state.lists, 1);
    await catchUp.stop();
    assert.equal(signal?.aborted, true);
    catchUp.tick();
    assert.equal(state.lists, 1);
    assert.deepEqual(state.rounds, [], 'a stop is no failure');
  });

  it('are retried soon after a failure, and log a missing permission once', async () => {
    let fails = true;
    const { state, pass, runFirstRound } = setUpCatchUp({
      listPendingPods: () => {
        state.lists += 1;
        return fails
          ? Promise.reject(new KubeError({ code: 'timeout', operation: 'list pending pods' }))
          : forbidden();
      },
    });
    await runFirstRound();
    fails = false;
    await pass(15 * secondMs);
    assert.deepEqual(state.rounds, ['timeout', 'forbidden']);
    for (let round = 0; round < 4; round += 1) {
      await pass(5 * minuteMs);
    }
    assert.equal(state.lists, 6);
    assert.deepEqual(
      state.lines.map(({ level, msg }) => `${level} ${msg}`),
      [
        'warn failed to check pending pods; will retry',
        'warn not allowed to check pending pods; pods that were missed are not found',
      ],
    );
  });
});

describe('pending pods with the reference', () => {
  it('get their tokens at once, unless these are stored', async () => {
    const { state, runFirstRound, storeToken } = setUpCatchUp();
    const other = host.replace('123456789012', '210987654321');
    storeToken('fresh', start + 60 * minuteMs);
    storeToken('expired', start - minuteMs);
    state.pods = [
      pendingPod('fresh', 'a', { hasReference: true }),
      pendingPod('expired', 'b', { hasReference: true }),
      pendingPod('new', 'c', { hasReference: true, images: [`${host}/a`, `${other}/b`] }),
      pendingPod('new', 'd', { hasReference: true }),
      pendingPod('kube-system', 'e', { hasReference: true }),
    ];
    await runFirstRound();
    assert.deepEqual(state.ensured, [
      { namespace: 'expired', hosts: [host] },
      { namespace: 'new', hosts: [host, other] },
    ]);
    const { podCount, ensuredNamespaces, incompleteNamespaces, uninjectedPods, level } =
      state.lines.at(-1) ?? {};
    assert.deepEqual(
      [podCount, ensuredNamespaces, incompleteNamespaces, uninjectedPods, level],
      [5, 2, 0, 0, 'info'],
    );
  });

  it('get their tokens page by page, each host once, and other namespaces do not wait for all pages of one', async () => {
    const hostOf = (index: number) => host.replace(/^\d{12}/, String(200_000_000_000 + index));
    const page = (index: number) => [
      pendingPod('big', `big-${index}`, { hasReference: true, images: [`${host}/a`, `${hostOf(index)}/b`] }),
      pendingPod(`small-${index}`, `small-${index}`, { hasReference: true }),
    ];
    const { state, runFirstRound } = setUpCatchUp({
      listPendingPods: async (onPage) => {
        for (let index = 0; index < 300; index += 1) {
          await onPage(index < 20 ? page(index) : page(index).slice(0, 1));
        }
      },
    });
    await runFirstRound();
    const ofBig = state.ensured.filter(({ namespace }) => namespace === 'big');
    const hosts = ofBig.flatMap((one) => one.hosts);
    assert.equal(hosts.length, 250, 'the limit of one namespace');
    assert.equal(new Set(hosts).size, 250);
    assert.ok(ofBig.length <= 3, `${ofBig.length} times`);
    assert.equal(state.ensured.length - ofBig.length, 20);
  });

  it('of a namespace that hangs delay no other, and are not ensured twice meanwhile', async () => {
    const { catchUp, state, pass, clock } = setUpCatchUp();
    const hanging = Promise.withResolvers<void>();
    state.ensure = async (namespace) => {
      if (namespace.startsWith('hangs')) {
        await hanging.promise;
      }
      return [pendingHost(host)];
    };
    const names = [...Array.from({ length: 30 }, (_, index) => `hangs-${index}`), 'other'];
    state.pods = names.map((namespace) => pendingPod(namespace, 'a', { hasReference: true }));
    await pass(0);
    clock.monotonicMs += 2 * secondMs;
    catchUp.tick();
    await eventually(
      'the other namespace is ensured',
      () => state.ensured.some(({ namespace }) => namespace === 'other'),
      60_000,
    );
    clock.monotonicMs += 6 * minuteMs;
    catchUp.tick();
    await eventually('another round has ended', () => state.rounds.length === 2);
    await setImmediate();
    assert.equal(state.ensured.filter(({ namespace }) => namespace === 'hangs-0').length, 1);
    hanging.resolve();
    await catchUp.waitUntilIdle();
    assert.equal(state.lines.at(-1)?.['level'], 'info');
  });

  it('are handled in selected namespaces only, which are listed only if there is something to do', async () => {
    let namespaceLists = 0;
    const { catchUp, state, pass, runFirstRound } = setUpCatchUp({
      listSelectedNamespaces: async () => {
        namespaceLists += 1;
        return new Set(['selected']);
      },
    });
    state.pods = [pendingPod('other', 'a', { images: ['busybox'] })];
    await runFirstRound();
    assert.equal(namespaceLists, 0);
    state.pods = ['selected', 'other'].flatMap((namespace) => [
      pendingPod(namespace, `${namespace}-a`, { hasReference: true }),
      pendingPod(namespace, `${namespace}-b`),
    ]);
    await pass(5 * minuteMs);
    assert.equal(namespaceLists, 1);
    assert.deepEqual(state.ensured, [{ namespace: 'selected', hosts: [host] }]);
    assert.equal(catchUp.uninjectedPods, 1);
    await eventually('the Event is created', () => state.events.length > 0);
    assert.deepEqual(
      state.events.map(({ object }) => object.name),
      ['selected-b'],
    );
  });

  it('wait if the selected namespaces cannot be listed', async () => {
    const { catchUp, state, runFirstRound } = setUpCatchUp({ listSelectedNamespaces: forbidden });
    state.pods = [pendingPod('shop', 'a', { hasReference: true }), pendingPod('shop', 'b')];
    await runFirstRound();
    assert.deepEqual(state.rounds, ['forbidden']);
    assert.deepEqual([state.ensured, state.events, catchUp.uninjectedPods], [[], [], 0]);
  });
});

describe('pending pods without a reference', () => {
  it('are counted, and get an Event once', async () => {
    const { catchUp, state, pass, runFirstRound } = setUpCatchUp();
    state.pods = [pendingPod('shop', 'cart', { metadata: ownedBy('ReplicaSet', 'cart-5d') })];
    await runFirstRound();
    assert.equal(catchUp.uninjectedPods, 1);
    await eventually('the Event is created', () => state.events.length === 1);
    const [{ name, object, type, reason, message } = {}] = state.events as Partial<
      (typeof state.events)[number]
    >[];
    assert.match(String(name), /^cart\.not-injected\.[0-9a-f]+$/);
    assert.deepEqual(
      { object, type, reason },
      {
        object: { kind: 'Pod', namespace: 'shop', name: 'cart', uid: 'uid-cart' },
        type: 'Warning',
        reason: 'PullSecretNotInjected',
      },
    );
    assert.equal(
      message,
      `no reference to Secret ecr-pull-secrets for ${host}: the pod was created while ecr-pull-secrets was not answering or ` +
        'did not handle it, or another webhook added the image later. Delete it, so that ReplicaSet cart-5d creates it again, unless it can pull ' +
        'with other credentials',
    );
    state.pods.push(pendingPod('shop', 'web'));
    await pass(5 * minuteMs);
    await eventually('the next Event is created', () => state.events.length === 2);
    await pass(5 * minuteMs);
    state.pods = [];
    await pass(5 * minuteMs);
    assert.equal(state.events.length, 2);
    assert.equal(catchUp.uninjectedPods, 0);
    const lines = state.lines.filter(({ msg }) => String(msg).startsWith('pods have no reference'));
    assert.deepEqual(
      lines.map(({ namespace, pods, podCount }) => ({ namespace, pods, podCount })),
      [{ namespace: 'shop', pods: ['cart'], podCount: 1 }],
      'one line per namespace and hour',
    );
  });

  it('are in the log once per hour and namespace, as long as they are pending, and after the next round if there are many', async () => {
    const { state, pass, runFirstRound } = setUpCatchUp();
    state.pods = Array.from({ length: 60 }, (_, index) => pendingPod(`n${index}`, 'a'));
    const countLines = () =>
      state.lines.filter(({ msg }) => String(msg).startsWith('pods have no reference')).length;
    await runFirstRound();
    assert.equal(countLines(), 50);
    await pass(5 * minuteMs);
    assert.equal(countLines(), 60);
    await pass(5 * minuteMs);
    assert.equal(countLines(), 60);
    await pass(60 * minuteMs);
    await pass(5 * minuteMs);
    assert.equal(countLines(), 120);
  });

  it('get their Event in the next round if the queue of Events is full', async () => {
    const { state, pass, runFirstRound } = setUpCatchUp();
    state.pods = ['a', 'b', 'c'].flatMap((namespace) =>
      Array.from({ length: 200 }, (_, index) => pendingPod(namespace, `${namespace}${index}`)),
    );
    await runFirstRound();
    await eventually('the queue is empty', () => state.events.length >= 500);
    await pass(5 * minuteMs);
    await eventually('all have Events', () => state.events.length === 600);
    assert.equal(new Set(state.events.map(({ name }) => name)).size, 600);
  });

  it('are left for the next round while they are young, which follows soon', async () => {
    const { catchUp, state, pass, runFirstRound } = setUpCatchUp();
    state.pods = [pendingPod('shop', 'cart', { createdAt: start - secondMs })];
    await runFirstRound();
    assert.deepEqual([catchUp.uninjectedPods, state.events.length], [0, 0]);
    await pass(31 * secondMs);
    assert.equal(catchUp.uninjectedPods, 1);
    await eventually('the Event is created', () => state.events.length === 1);
  });

  it('are left for the next round while a rule may deny their tokens, because the labels of the namespace are unknown', async () => {
    let isKnown = false;
    const { catchUp, state, pass, runFirstRound } = setUpCatchUp(
      {
        rules: {
          ...rules,
          isUndecided: (namespace) => namespace !== 'web' && !isKnown,
          findDenyingRule: (namespace) => (namespace === 'sandbox' && isKnown ? 'registries[0]' : undefined),
        },
      },
      true,
    );
    state.pods = ['sandbox', 'shop', 'web'].map((namespace) =>
      pendingPod(namespace, namespace, { metadata: ownedBy('ReplicaSet', namespace) }),
    );
    await runFirstRound();
    assert.deepEqual([catchUp.uninjectedPods, state.deleted], [1, ['web']]);
    isKnown = true;
    state.pods.pop();
    await pass(31 * secondMs);
    assert.deepEqual([catchUp.uninjectedPods, state.deleted], [1, ['web', 'shop']]);
  });

  it('are all counted, and kept up to a limit of each namespace', async () => {
    const { catchUp, state, runFirstRound } = setUpCatchUp();
    const count = 10_000;
    state.pods = Array.from({ length: count }, (_, index) => pendingPod('big', `p${index}`));
    state.pods.push(pendingPod('small', 'a'));
    await runFirstRound();
    assert.equal(catchUp.uninjectedPods, count + 1);
    await eventually('the small namespace has its Event', () =>
      state.events.some(({ object }) => object.namespace === 'small'),
    );
    assert.ok(state.events.length <= 201, `${state.events.length} Events`);
  });

  it('get an Event in each namespace, if there are too many to keep', async () => {
    const { catchUp, state, runFirstRound } = setUpCatchUp();
    state.pods = Array.from({ length: 21 * 500 }, (_, index) =>
      pendingPod(`a-${Math.floor(index / 500)}`, `p${index}`),
    );
    state.pods.push(pendingPod('b', 'x'), pendingPod('b', 'y'));
    await runFirstRound();
    assert.equal(catchUp.uninjectedPods, 21 * 500 + 2);
    await eventually('the last namespace has an Event', () =>
      state.events.some(({ object }) => object.namespace === 'b'),
    );
    assert.equal(state.events.filter(({ object }) => object.namespace === 'b').length, 1);
  });
});

describe('the eviction of pods without a reference', () => {
  const owned = (name: string, options = {}) =>
    pendingPod('shop', name, { metadata: ownedBy('ReplicaSet', 'cart'), ...options });

  it('deletes one pod, then the others, each with an Event', async () => {
    const { state, pass, runFirstRound } = setUpCatchUp({}, true);
    state.pods = [owned('a'), owned('b'), owned('c'), pendingPod('shop', 'bare')];
    await runFirstRound();
    assert.deepEqual(state.deleted, ['a']);
    state.pods = state.pods.slice(1);
    await pass(31 * secondMs);
    assert.deepEqual(state.deleted, ['a', 'b', 'c']);
    await eventually('all Events are created', () => state.events.length === 7);
    const evicted = state.events.filter(({ reason }) => reason === 'EvictedForPullSecret');
    assert.deepEqual(
      evicted.map(({ object, type, message }) => [object.name, type, message]),
      ['a', 'b', 'c'].map((name) => [
        name,
        'Normal',
        'deleted, because it has no reference to Secret ecr-pull-secrets and never ran, so that ReplicaSet cart creates it again',
      ]),
    );
    assert.deepEqual(state.evictions, ['deleted', 'deleted', 'deleted']);
  });

  it('waits until the webhook answers', async () => {
    const { state, pass, runFirstRound } = setUpCatchUp({}, true);
    state.canEvict = false;
    state.pods = [owned('a')];
    await runFirstRound();
    assert.deepEqual(state.deleted, []);
    state.canEvict = true;
    await pass(31 * secondMs);
    assert.deepEqual(state.deleted, ['a']);
  });

  it('stops at once when the webhook does not answer any more, and does not count those pods', async () => {
    const { state, pass, runFirstRound } = setUpCatchUp({}, true);
    state.pods = ['a', 'b'].map((name) =>
      pendingPod('shop', name, { metadata: ownedBy('ReplicaSet', name) }),
    );
    state.delete = async () => {
      state.canEvict = false;
      return true;
    };
    await runFirstRound();
    assert.deepEqual(state.deleted, ['a']);
    state.pods = state.pods.slice(1);
    state.canEvict = true;
    await pass(31 * secondMs);
    assert.deepEqual(state.deleted, ['a', 'b']);
  });

  it('stops with an Event if the pods keep coming back without a reference', async () => {
    const { state, pass, runFirstRound, clock } = setUpCatchUp({}, true);
    let created = 0;
    const comeBack = () => {
      created += 1;
      state.pods = [owned(`p${created}`, { createdAt: clock.wallMs })];
    };
    comeBack();
    clock.wallMs += minuteMs;
    await runFirstRound();
    for (let round = 0; round < 60; round += 1) {
      if (state.deleted.length === created) {
        comeBack();
      }
      await pass(5 * minuteMs + secondMs);
    }
    assert.deepEqual(state.deleted, ['p1', 'p2', 'p3']);
    const stopped = state.events.filter(({ reason }) => reason === 'EvictionStopped');
    assert.deepEqual(
      stopped.map(({ object, type }) => [object.name, type]),
      [['p4', 'Warning']],
    );
  });

  it('deletes no further pod if a replacement lacks the reference, even among more pods than are kept', async () => {
    const { state, pass, runFirstRound, clock } = setUpCatchUp({}, true);
    state.pods = Array.from({ length: 600 }, (_, index) => owned(`p${String(index).padStart(3, '0')}`));
    await runFirstRound();
    assert.deepEqual(state.deleted, ['p000']);
    state.pods = [...state.pods.slice(1), owned('q', { createdAt: clock.wallMs })];
    await pass(31 * secondMs);
    await pass(minuteMs);
    assert.deepEqual(state.deleted, ['p000']);
  });

  it('tries again if a pod has changed, or the deletion was refused', async () => {
    const { state, pass, runFirstRound } = setUpCatchUp({}, true);
    state.pods = [owned('a'), owned('b')];
    state.delete = async () => false;
    await runFirstRound();
    state.delete = () =>
      Promise.reject(new KubeError({ code: 'forbidden', operation: 'delete pod', status: 403 }));
    await pass(31 * secondMs);
    await pass(31 * secondMs);
    assert.deepEqual(state.evictions, ['changed', 'forbidden', 'forbidden']);
    const lines = state.lines.filter(({ msg }) => String(msg).startsWith('failed to delete a pod'));
    assert.equal(lines.length, 1, 'consecutive failures are logged once');
    state.delete = async () => true;
    await pass(31 * secondMs);
    assert.deepEqual(state.deleted, ['a']);
  });
});
