// Tests how long hosts that a Secret lacks are remembered, and when the pods that need them are checked.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MissingHosts, podCreationMs } from '../../src/pull-secrets/missing-hosts.ts';

const hourMs = 3_600_000;
const none = new Set<string>();

describe('missing hosts', () => {
  const podCheck = (inUse: ReadonlySet<string> | undefined, now: number, stored = none) => ({
    ...{ inUse, now, stored },
    random: 0.5,
  });

  it('are checked after 5 s, and then at growing intervals, while a pod names them', () => {
    const missing = new MissingHosts(24 * hourMs);
    missing.record('a', ['x'], 'refused', 0);
    assert.deepEqual([missing.dueNamespaces(4_999), missing.dueNamespaces(5_000)], [[], ['a']]);
    let now = 5_000;
    const gaps: number[] = [];
    for (let checks = 0; checks < 20; checks += 1) {
      missing.recordPodCheck('a', podCheck(new Set(['x']), now));
      let next = now;
      while (missing.dueNamespaces(next).length === 0) {
        next += 250;
      }
      gaps.push(next - now);
      now = next;
    }
    assert.ok(gaps.every((gap, index) => gap >= (gaps[index - 1] ?? 0) && gap <= 300_000));
    assert.deepEqual(missing.hostsToAdd('a', new Set(['x'])), ['x']);
    assert.equal(missing.fullSecretCount, 1);
  });

  it('are forgotten when no pod names them, but not before a pod in creation must have been stored', () => {
    const missing = new MissingHosts(24 * hourMs);
    missing.record('a', ['x'], 'dropped', 0);
    missing.recordPodCheck('a', podCheck(none, podCreationMs - 1));
    assert.deepEqual(missing.hostsToAdd('a', new Set(['x'])), ['x']);
    missing.record('a', ['x'], 'refused', podCreationMs - 1);
    missing.recordPodCheck('a', podCheck(none, podCreationMs));
    assert.deepEqual(
      missing.hostsToAdd('a', new Set(['x'])),
      ['x'],
      'another pod has requested it in the meantime',
    );
    missing.recordPodCheck('a', podCheck(none, 2 * podCreationMs));
    assert.deepEqual(missing.hostsToAdd('a', new Set(['x'])), []);
  });

  it('are forgotten once the Secret names them', () => {
    const missing = new MissingHosts(24 * hourMs);
    missing.record('a', ['x', 'y'], 'refused', 0);
    missing.recordPodCheck('a', podCheck(new Set(['x', 'y']), 5_000, new Set(['x'])));
    assert.deepEqual(missing.hostsToAdd('a', new Set(['x', 'y'])), ['y']);
  });

  it('are forgotten when a rule denies them', () => {
    const missing = new MissingHosts(24 * hourMs);
    missing.record('a', ['x', 'y'], 'refused', 0);
    const isDenied = (host: string) => host === 'x';
    missing.recordPodCheck('a', { ...podCheck(new Set(['x', 'y']), 5_000), isDenied });
    assert.deepEqual(missing.hostsToAdd('a', new Set(['x', 'y'])), ['y']);
  });

  it('are added while pods are unknown only if a pod requested them, and only for a limited time', () => {
    const missing = new MissingHosts(hourMs);
    missing.record('a', ['x'], 'refused', 0);
    missing.record('a', ['y'], 'dropped', 0);
    assert.deepEqual(missing.hostsToAdd('a', undefined), ['x']);
    for (let now = 0; now <= hourMs; now += 60_000) {
      missing.record('a', ['x'], 'refused', now);
      missing.recordPodCheck('a', podCheck(undefined, now));
    }
    assert.deepEqual([missing.hostsToAdd('a', undefined), missing.fullSecretCount], [[], 0]);
  });

  it('are kept after they were dropped, however many others were refused before', () => {
    const missing = new MissingHosts(24 * hourMs);
    const refused = Array.from({ length: 200 }, (_, index) => `refused-${index}`);
    missing.record('a', refused, 'refused', 0);
    missing.record('a', ['dropped'], 'dropped', 0);
    const wanted = missing.hostsToAdd('a', new Map([['dropped', 'pod']]));
    assert.deepEqual(wanted, ['dropped']);
  });

  it('are bounded: 200 in a namespace, in 1,000 namespaces', () => {
    const missing = new MissingHosts(hourMs);
    const many = Array.from({ length: 300 }, (_, index) => `host-${index}`);
    for (let namespace = 0; namespace < 1_200; namespace += 1) {
      missing.record(`team-${namespace}`, many, 'refused', 0);
    }
    assert.equal(missing.fullSecretCount, 1_000);
    assert.equal(missing.hostsToAdd('team-0', undefined).length, 200);
  });
});
