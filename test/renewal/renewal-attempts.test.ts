// Tests the backoff between renewals of one namespace.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KubeError } from '../../src/kube/errors.ts';
import { failedHost } from '../../src/pull-secrets/unavailable-host.ts';
import type { Due } from '../../src/renewal/plan-types.ts';
import { AttemptTracker } from '../../src/renewal/renewal-attempts.ts';
import { backoffMs, namespaceBackoff } from '../../src/util/backoff.ts';

const hourMs = 3_600_000;
const now = Date.UTC(2026, 10, 23, 12);
const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';

describe('renewal attempts in a namespace', () => {
  const due: Due = { namespace: 'a', kind: 'valid', reason: 'scheduled', hosts: [host], expiresAt: 0 };
  const quota = { host, code: 'forbidden', text: 'API server: forbidden' };

  it('back off longer after each failure, up to 5 minutes, and never less than half of the maximum', () => {
    for (const random of [0, 0.999]) {
      const delays = Array.from({ length: 40 }, (_, index) => backoffMs(namespaceBackoff, index + 1, random));
      assert.ok(delays.every((delay, index) => delay >= (delays[index - 1] ?? 0) && delay <= 300_000));
      assert.ok((delays[0] ?? 0) <= 1_000 && (delays.at(-1) ?? 0) >= 150_000);
    }
  });

  it('back off at most 45 s after a failed write, so that a fix takes effect within a minute', () => {
    const write = failedHost(host, new KubeError({ code: 'server-error', operation: 'apply Secret a/s' }));
    for (const kind of ['valid', 'missing'] as const) {
      const attempts = new AttemptTracker();
      for (let failures = 1; failures <= 40; failures += 1) {
        attempts.record({ ...due, kind }, [write], now, 0.999, 12 * hourMs);
        const retryAt = attempts.get('a', kind)?.retryAt ?? 0;
        assert.ok(retryAt > now && retryAt <= now + 45_000);
      }
    }
  });

  it('start from the first delay after a success', () => {
    const attempts = new AttemptTracker();
    attempts.record(due, [quota], now, 0, 12 * hourMs);
    attempts.record(due, [quota], now + hourMs, 0, 12 * hourMs);
    const failed = attempts.get('a', 'valid');
    assert.deepEqual([failed?.code, failed?.permanent, failed?.since], ['forbidden', true, now]);
    attempts.record(due, [], now, 0, 12 * hourMs);
    assert.equal(attempts.get('a', 'valid'), undefined);
  });

  it('are separate for hosts with and without a token, and forgotten with the namespace', () => {
    const attempts = new AttemptTracker();
    attempts.record({ ...due, kind: 'missing' }, [quota], now, 0, 12 * hourMs);
    assert.equal(attempts.get('a', 'valid'), undefined);
    assert.equal(attempts.get('a', 'missing')?.code, 'forbidden');
    attempts.record(due, [quota], now, 0, 12 * hourMs);
    attempts.forget('a');
    assert.deepEqual([attempts.get('a', 'valid'), attempts.get('a', 'missing')], [undefined, undefined]);
  });

  it('back off when another writer keeps changing the Secret', () => {
    const attempts = new AttemptTracker();
    const repair = (at: number) => {
      attempts.record({ ...due, reason: 'edited' }, [], at, 0, 12 * hourMs);
      return (attempts.get('a', 'valid')?.retryAt ?? 0) - at;
    };
    assert.deepEqual([repair(now), repair(now + 1000), repair(now + 2000)], [500, 1000, 2000]);
    assert.equal(repair(now + 3 * hourMs), 500);
  });
});
