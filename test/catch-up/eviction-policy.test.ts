// Tests which pods without a reference are deleted, and when that stops.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EvictionPolicy } from '../../src/catch-up/eviction-policy.ts';
import type { FoundPod } from '../../src/catch-up/finding-collector.ts';
import { minuteMs, secondMs, start } from './catch-up-fixture.ts';

function found(
  name: string,
  {
    controller = 'cart',
    kind = 'ReplicaSet',
    apiVersion = 'apps/v1',
    createdAt = start,
    ...rest
  }: Partial<Omit<FoundPod, 'controller'>> & { controller?: string; kind?: string; apiVersion?: string } = {},
): FoundPod {
  return {
    ...{ namespace: 'shop', name, uid: name, resourceVersion: '1', createdAt, hosts: [], moreHosts: 0 },
    controller: { apiVersion, kind, name: controller, uid: controller },
    ...{ isStuck: true, isYoung: false, ...rest },
  };
}

function setUp() {
  const policy = new EvictionPolicy();
  let now = 0;
  let last: ReturnType<EvictionPolicy['plan']> | undefined;
  return {
    policy,
    /** Plans after `ms`, and records the planned pods as deleted unless `isDeleted` is false. */
    plan: (ms: number, pods: readonly FoundPod[], isDeleted = true) => {
      now += ms;
      last = policy.plan(pods, now);
      for (const pod of last.evict) {
        if (isDeleted) {
          policy.recordDeleted(pod, now);
        } else {
          policy.recordFailure(pod);
        }
      }
      return last.evict.map(({ name }) => name).join(' ');
    },
    stopped: () => last?.stopped.map(({ name }) => name).join(' '),
  };
}

describe('the eviction policy', () => {
  it('deletes the oldest pod of each controller first, and the others when its replacement has the reference', () => {
    const { plan } = setUp();
    const [a, b, c] = [
      found('a', { createdAt: start + 1 }),
      found('b'),
      found('c', { createdAt: start + 2 }),
    ];
    const other = found('d', { controller: 'web', namespace: 'web' });
    assert.equal(plan(0, [a, b, c, other]), 'b d');
    assert.equal(plan(29 * secondMs, [a, c]), '', 'the controller has time to replace the pod');
    assert.equal(plan(secondMs, [a, c]), 'a c');
  });

  it('does not confuse a controller with the one of another namespace whose pods name the same UID', () => {
    const { plan } = setUp();
    const [a, b] = [found('a'), found('b', { createdAt: start + 1 })];
    const forged = (name: string, createdAt: number) => found(name, { namespace: 'other', createdAt });
    assert.equal(plan(0, [a, b, forged('x', start + 2)]), 'a x');
    assert.equal(plan(30 * secondMs, [b, forged('y', start + minuteMs)]), 'b');
  });

  it('orders pods so that no namespace waits for all pods of another', () => {
    const { plan } = setUp();
    const of = (namespace: string, count: number) =>
      Array.from({ length: count }, (_, index) =>
        found(`${namespace}${index}`, { namespace, controller: `${namespace}${index}` }),
      );
    assert.equal(plan(0, [...of('a', 3), ...of('b', 2)]), 'a0 b0 a1 b1 a2');
  });

  it('deletes no young pods, no pods that ran or may be pulling, and none without a replacing controller', () => {
    const { plan } = setUp();
    const pods = [
      found('young', { isYoung: true }),
      found('ran', { isStuck: false, controller: 'web' }),
      found('job', { kind: 'Job', apiVersion: 'batch/v1', controller: 'job' }),
      found('custom', { kind: 'ReplicaSet', apiVersion: 'example.com/v1', controller: 'custom' }),
      { ...found('bare'), controller: undefined },
    ];
    assert.equal(plan(0, pods), '');
    for (const kind of ['StatefulSet', 'DaemonSet']) {
      assert.equal(plan(0, [found(kind, { kind, controller: kind })]), kind);
    }
    assert.equal(
      plan(0, [found('rc', { kind: 'ReplicationController', apiVersion: 'v1', controller: 'rc' })]),
      'rc',
    );
  });

  it('backs off if a replacement lacks the reference, even a young one, and stops after three attempts', () => {
    const { plan, stopped } = setUp();
    const others = [found('x', { createdAt: start })];
    const replaced = (minutes: number, isYoung = false) =>
      found(`r${minutes}`, { createdAt: start + minutes * minuteMs, isYoung });
    assert.equal(plan(0, [found('a', { createdAt: start - 1 }), ...others]), 'a');
    assert.equal(plan(minuteMs, [replaced(1, true), ...others]), '', 'the replacement is young');
    assert.equal(plan(3 * minuteMs, [replaced(1), ...others]), '', 'the backoff has not passed');
    assert.equal(plan(minuteMs, [replaced(1), ...others]), 'x', 'the second attempt');
    assert.equal(plan(9 * minuteMs, [replaced(1), replaced(5)]), '');
    assert.equal(plan(minuteMs, [replaced(1), replaced(5)]), 'r1', 'the third attempt');
    assert.equal(stopped(), '');
    assert.equal(plan(60 * minuteMs, [replaced(5), replaced(20)]), '');
    assert.equal(stopped(), 'r5');
    assert.equal(plan(60 * minuteMs, [replaced(5), replaced(20)]), '');
    assert.equal(stopped(), '', 'it is reported once');
    assert.equal(plan(24 * 60 * minuteMs, [replaced(5), replaced(20)]), 'r5', 'a day later');
  });

  it('does not count an attempt whose first pod could not be deleted', () => {
    const { plan } = setUp();
    for (let round = 0; round < 10; round += 1) {
      assert.equal(plan(minuteMs, [found('a'), found('b')], false), 'a');
    }
    assert.equal(plan(minuteMs, [found('a'), found('b')]), 'a');
    const later = found('c', { createdAt: start + minuteMs });
    assert.equal(plan(minuteMs, [found('b'), later]), '');
    assert.equal(plan(5 * minuteMs, [found('b'), later], false), 'b');
    assert.equal(plan(minuteMs, [found('b'), later]), 'b', 'still the second attempt');
    const latest = found('d', { createdAt: start + 9 * minuteMs });
    assert.equal(plan(9 * minuteMs, [later, latest]), '', 'the backoff of the second attempt');
    assert.equal(plan(minuteMs, [later, latest]), 'c');
  });

  it('waits while the first pod has not been deleted yet', () => {
    const policy = new EvictionPolicy();
    const pods = [found('a'), found('b')];
    assert.equal(policy.plan(pods, 0).evict.length, 1);
    assert.deepEqual(policy.plan(pods, 5 * minuteMs), { evict: [], stopped: [], isUnfinished: true });
  });
});
