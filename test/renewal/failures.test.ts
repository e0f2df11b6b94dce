import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KubeError } from '../../src/kube/errors.ts';
import { failedHost } from '../../src/pull-secrets/unavailable-host.ts';
import {
  AttemptTracker,
  FailureTracker,
  failureEventDelayMs,
  urgentEventDelayMs,
} from '../../src/renewal/failures.ts';
import type { Due, Overdue } from '../../src/renewal/plan-types.ts';
import { namespaceBackoff, tokenRetryMs } from '../../src/util/backoff.ts';

const hourMs = 3_600_000;
const now = Date.UTC(2026, 10, 23, 12);
const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';

function overdue(namespace: string, since: number, expiresAt: number | undefined): Overdue {
  const trouble = {
    code: 'AccessDeniedException',
    permanent: true,
    message: 'refused',
    since,
    at: now,
    retryAt: now,
  };
  return { namespace, host, kind: 'valid', expiresAt, failure: trouble };
}

describe('what people are told', () => {
  it('is that a host has failed for long, once an hour, and that it is well again, once', () => {
    const troubles = new FailureTracker();
    const one = overdue('a', now, undefined);
    assert.deepEqual(troubles.update([one], now + failureEventDelayMs - 1).failing, []);
    assert.deepEqual(troubles.update([one], now + failureEventDelayMs).failing, [one]);
    assert.deepEqual(troubles.update([one], now + failureEventDelayMs + hourMs - 1).failing, []);
    assert.deepEqual(troubles.update([one], now + failureEventDelayMs + hourMs).failing, [one]);
    const well = troubles.update([], now + 2 * hourMs);
    assert.deepEqual(well.recovered, [{ namespace: 'a', host }]);
    assert.deepEqual(troubles.update([], now + 2 * hourMs).recovered, []);
  });

  it('is after a minute that a host cannot be stored, since its pods cannot pull meanwhile', () => {
    const troubles = new FailureTracker();
    const one = { ...overdue('a', now, undefined), isUrgent: true };
    assert.deepEqual(troubles.update([one], now + urgentEventDelayMs - 1).failing, []);
    assert.deepEqual(troubles.update([one], now + urgentEventDelayMs).failing, [one]);
    assert.deepEqual(troubles.update([one], now + hourMs).failing, []);
  });

  it('is nothing of a hiccup, neither that it came nor that it went', () => {
    const troubles = new FailureTracker();
    troubles.update([overdue('a', now, undefined)], now + 1000);
    assert.deepEqual(troubles.update([], now + 2000).recovered, []);
  });

  it('is hours before the first token ends that it does, once an hour for each cause, however many namespaces', () => {
    const troubles = new FailureTracker();
    const end = now + 6 * hourMs;
    const all = Array.from({ length: 1000 }, (_, index) => overdue(`team-${index}`, now, end + index));
    assert.deepEqual(troubles.update(all, now).expiring, []);
    const [warning, ...others] = troubles.update(all, end - 3 * hourMs + 1000).expiring;
    assert.deepEqual(others, []);
    assert.deepEqual([warning?.namespaces, warning?.firstExpiresAt, warning?.permanent], [1000, end, true]);
    assert.deepEqual(troubles.update(all, end - 2.5 * hourMs).expiring, []);
    assert.equal(troubles.update(all, end - 2 * hourMs + 1000).expiring.length, 1);
  });
});

describe('tries in a namespace', () => {
  const due: Due = { namespace: 'a', kind: 'valid', reason: 'half-life', hosts: [host], expiresAt: 0 };
  const quota = { host, code: 'forbidden', text: 'API server: forbidden' };

  it('wait longer with every failure, up to 5 minutes, never less than half of that', () => {
    for (const random of [0, 0.999]) {
      const waits = Array.from({ length: 40 }, (_, index) =>
        tokenRetryMs(namespaceBackoff, index + 1, random),
      );
      assert.ok(waits.every((wait, index) => wait >= (waits[index - 1] ?? 0) && wait <= 300_000));
      assert.ok((waits[0] ?? 0) <= 1_000 && (waits.at(-1) ?? 0) >= 150_000);
    }
  });

  it('wait no longer than 45 s after a failed write, so that a cure is noticed within a minute', () => {
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

  it('start over after a success', () => {
    const attempts = new AttemptTracker();
    attempts.record(due, [quota], now, 0, 12 * hourMs);
    attempts.record(due, [quota], now + hourMs, 0, 12 * hourMs);
    const trouble = attempts.get('a', 'valid');
    assert.deepEqual([trouble?.code, trouble?.permanent, trouble?.since], ['forbidden', true, now]);
    attempts.record(due, [], now, 0, 12 * hourMs);
    assert.equal(attempts.get('a', 'valid'), undefined);
  });

  it('for hosts without a token say nothing of those that have one, and a namespace that is gone is forgotten', () => {
    const attempts = new AttemptTracker();
    attempts.record({ ...due, kind: 'missing' }, [quota], now, 0, 12 * hourMs);
    assert.equal(attempts.get('a', 'valid'), undefined);
    assert.equal(attempts.get('a', 'missing')?.code, 'forbidden');
    attempts.record(due, [quota], now, 0, 12 * hourMs);
    attempts.forget('a');
    assert.deepEqual([attempts.get('a', 'valid'), attempts.get('a', 'missing')], [undefined, undefined]);
  });

  it('are fewer and fewer where somebody else changes the Secret again and again', () => {
    const attempts = new AttemptTracker();
    const mend = (at: number) => {
      attempts.record({ ...due, reason: 'edited' }, [], at, 0, 12 * hourMs);
      return (attempts.get('a', 'valid')?.retryAt ?? 0) - at;
    };
    assert.deepEqual([mend(now), mend(now + 1000), mend(now + 2000)], [500, 1000, 2000]);
    assert.equal(mend(now + 3 * hourMs), 500);
  });
});
