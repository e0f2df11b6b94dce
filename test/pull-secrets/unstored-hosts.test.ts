// Tests which hosts that could not be stored are kept in memory, within limits per namespace.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type ForgetReason,
  UnstoredHosts,
  type WriteFailure,
} from '../../src/pull-secrets/unstored-hosts.ts';

const hourMs = 3_600_000;
const failure: WriteFailure = { code: 'forbidden', permanent: true, message: 'refused' };

function setUp({ perNamespace = 200, maxHosts = 10_000 } = {}) {
  const clock = { now: 0 };
  const forgotten: [string, string, ForgetReason][] = [];
  const unstored = new UnstoredHosts({
    maxHostsPerNamespace: perNamespace,
    maxHosts,
    monotonicNow: () => clock.now,
    onForgotten: (namespace, hosts, reason) => {
      forgotten.push(...hosts.map((host): [string, string, ForgetReason] => [namespace, host, reason]));
    },
  });
  const hostsOf = (namespace: string) => [...(unstored.byNamespace().get(namespace)?.hosts.keys() ?? [])];
  return { unstored, clock, forgotten, hostsOf };
}

const named = (count: number, prefix = 'host') =>
  Array.from({ length: count }, (_, index) => `${prefix}-${index}`);

describe('hosts that could not be stored', () => {
  it('are kept with the time and the last failure until they are removed', () => {
    const { unstored, clock, hostsOf } = setUp();
    unstored.add('a', ['x', 'y'], failure);
    clock.now = 1_000;
    const timeout = { ...failure, code: 'timeout', permanent: false };
    unstored.add('a', ['y'], timeout);
    unstored.recordFailure('b', failure);
    const kept = unstored.byNamespace().get('a');
    assert.deepEqual(kept?.hosts.get('x'), { since: 0, requestedAt: 0 });
    assert.deepEqual(kept?.hosts.get('y'), { since: 0, requestedAt: 1_000 });
    assert.deepEqual([kept?.failure.code, unstored.size, unstored.byNamespace().size], ['timeout', 2, 1]);
    const { changeCount } = unstored;
    unstored.remove('a', ['x', 'unknown']);
    assert.deepEqual(hostsOf('a'), ['y']);
    assert.ok(unstored.changeCount > changeCount);
    unstored.forget('a');
    unstored.forget('a');
    assert.deepEqual([unstored.byNamespace().size, unstored.size], [0, 0]);
  });

  it('are forgotten and reported if they have not been requested for a long time', () => {
    const { unstored, clock, forgotten, hostsOf } = setUp();
    unstored.add('a', ['x', 'y', 'z'], failure);
    clock.now = hourMs;
    unstored.add('a', ['y'], failure);
    unstored.confirmRequested('a', new Set(['z']));
    unstored.recordFailure('a', failure); // Renewal retries without end, so a retry is no request.
    clock.now = 24 * hourMs;
    unstored.expire(24 * hourMs);
    assert.deepEqual([hostsOf('a'), forgotten], [['y', 'z'], [['a', 'x', 'expired']]]);
  });

  it('are forgotten and reported when a rule denies them', () => {
    const { unstored, forgotten, hostsOf } = setUp();
    unstored.add('a', ['x', 'y'], failure);
    unstored.add('b', ['x'], failure);
    unstored.removeDenied((namespace, host) => namespace === 'a' && host === 'x');
    assert.deepEqual([hostsOf('a'), hostsOf('b'), unstored.size], [['y'], ['x'], 2]);
    assert.deepEqual(forgotten, [['a', 'x', 'denied']]);
  });

  it('are limited to the maximum of one Secret in each namespace', () => {
    const { unstored, forgotten, hostsOf } = setUp({ perNamespace: 3 });
    unstored.add('a', named(5), failure);
    assert.deepEqual(hostsOf('a'), ['host-0', 'host-1', 'host-2']);
    assert.deepEqual(forgotten, [
      ['a', 'host-3', 'limit'],
      ['a', 'host-4', 'limit'],
    ]);
  });

  it('of a namespace that floods the memory are evicted in favour of other namespaces', () => {
    const { unstored, hostsOf } = setUp({ maxHosts: 20 });
    unstored.add('small', ['x'], failure);
    unstored.add('flood', named(100), failure);
    assert.equal(hostsOf('flood').length, 19);
    unstored.add('late', ['y', 'z'], failure);
    unstored.add('flood', named(100, 'more'), failure);
    assert.deepEqual([hostsOf('small'), hostsOf('late')], [['x'], ['y', 'z']]);
    assert.deepEqual(hostsOf('flood'), named(17), 'its newest hosts were evicted');
  });

  it('never exceed the maximums, and no namespace loses a host while another has two more', () => {
    const bounds = { perNamespace: 5, maxHosts: 12 };
    const request = fc.record({
      namespace: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      hosts: fc.array(
        fc.integer({ min: 0, max: 9 }).map((number) => `h${number}`),
        { maxLength: 8 },
      ),
      remove: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(request, { maxLength: 60 }), (requests) => {
        const { unstored, forgotten, hostsOf } = setUp(bounds);
        const sizes = () => [...unstored.byNamespace().values()].map(({ hosts }) => hosts.size);
        for (const { namespace, hosts, remove } of requests) {
          const before = forgotten.length;
          if (remove) {
            unstored.remove(namespace, hosts);
          } else {
            unstored.add(namespace, hosts, failure);
          }
          const all = sizes();
          assert.equal(
            all.reduce((sum, size) => sum + size, 0),
            unstored.size,
          );
          assert.ok(unstored.size <= bounds.maxHosts && all.every((size) => size <= bounds.perNamespace));
          assert.ok(all.every((size) => size > 0));
          const losers = forgotten.slice(before).map(([loser]) => loser);
          const largest = Math.max(0, ...all);
          assert.ok(losers.every((loser) => hostsOf(loser).length >= largest - 1));
        }
      }),
    );
  });
});
