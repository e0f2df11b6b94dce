import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KubeError } from '../../src/kube/errors.ts';
import { failed } from '../../src/pull-secrets/unavailable-host.ts';
import { Attempts, longMs, Troubles, urgentMs } from '../../src/renewal/failures.ts';
import type { Due, Overdue } from '../../src/renewal/plan-types.ts';
import { backoffMs, namespaceBackoff } from '../../src/util/backoff.ts';

const hour = 3_600_000;
const now = Date.UTC(2026, 10, 23, 12);
const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';

function overdue(namespace: string, since: number, endsAt: number | undefined): Overdue {
  const trouble = {
    code: 'AccessDeniedException',
    permanent: true,
    message: 'refused',
    since,
    at: now,
    retryAt: now,
  };
  return { namespace, host, kind: 'valid', endsAt, trouble };
}

describe('what people are told', () => {
  it('is that a host has failed for long, once an hour, and that it is well again, once', () => {
    const troubles = new Troubles();
    const one = overdue('a', now, undefined);
    assert.deepEqual(troubles.tell([one], now + longMs - 1).failing, []);
    assert.deepEqual(troubles.tell([one], now + longMs).failing, [one]);
    assert.deepEqual(troubles.tell([one], now + longMs + hour - 1).failing, []);
    assert.deepEqual(troubles.tell([one], now + longMs + hour).failing, [one]);
    const well = troubles.tell([], now + 2 * hour);
    assert.deepEqual(well.recovered, [{ namespace: 'a', host }]);
    assert.deepEqual(troubles.tell([], now + 2 * hour).recovered, []);
  });

  it('is after a minute that a host cannot be stored, since its pods cannot pull meanwhile', () => {
    const troubles = new Troubles();
    const one = { ...overdue('a', now, undefined), isUrgent: true };
    assert.deepEqual(troubles.tell([one], now + urgentMs - 1).failing, []);
    assert.deepEqual(troubles.tell([one], now + urgentMs).failing, [one]);
    assert.deepEqual(troubles.tell([one], now + hour).failing, []);
  });

  it('is nothing of a hiccup, neither that it came nor that it went', () => {
    const troubles = new Troubles();
    troubles.tell([overdue('a', now, undefined)], now + 1000);
    assert.deepEqual(troubles.tell([], now + 2000).recovered, []);
  });

  it('is hours before the first token ends that it does, once an hour for each cause, however many namespaces', () => {
    const troubles = new Troubles();
    const end = now + 6 * hour;
    const all = Array.from({ length: 1000 }, (_, index) => overdue(`team-${index}`, now, end + index));
    assert.deepEqual(troubles.tell(all, now).endangered, []);
    const [warning, ...others] = troubles.tell(all, end - 3 * hour + 1000).endangered;
    assert.deepEqual(others, []);
    assert.deepEqual([warning?.namespaces, warning?.firstEnd, warning?.permanent], [1000, end, true]);
    assert.deepEqual(troubles.tell(all, end - 2.5 * hour).endangered, []);
    assert.equal(troubles.tell(all, end - 2 * hour + 1000).endangered.length, 1);
  });
});

describe('tries in a namespace', () => {
  const due: Due = { namespace: 'a', kind: 'valid', reason: 'half-life', hosts: [host], endsAt: 0 };
  const quota = { host, code: 'forbidden', text: 'API server: forbidden' };

  it('wait longer with every failure, up to 5 minutes, never less than half of that', () => {
    for (const random of [0, 0.999]) {
      const waits = Array.from({ length: 40 }, (_, index) => backoffMs(namespaceBackoff, index + 1, random));
      assert.ok(waits.every((wait, index) => wait >= (waits[index - 1] ?? 0) && wait <= 300_000));
      assert.ok((waits[0] ?? 0) <= 1_000 && (waits.at(-1) ?? 0) >= 150_000);
    }
  });

  it('wait no longer than 45 s after a failed write, so that a cure is noticed within a minute', () => {
    const write = failed(host, new KubeError({ code: 'server-error', operation: 'apply Secret a/s' }));
    for (const kind of ['valid', 'missing'] as const) {
      const attempts = new Attempts();
      for (let failures = 1; failures <= 40; failures += 1) {
        attempts.note({ ...due, kind }, [write], now, 0.999, 12 * hour);
        const retryAt = attempts.get('a', kind)?.retryAt ?? 0;
        assert.ok(retryAt > now && retryAt <= now + 45_000);
      }
    }
  });

  it('start over after a success', () => {
    const attempts = new Attempts();
    attempts.note(due, [quota], now, 0, 12 * hour);
    attempts.note(due, [quota], now + hour, 0, 12 * hour);
    const trouble = attempts.get('a', 'valid');
    assert.deepEqual([trouble?.code, trouble?.permanent, trouble?.since], ['forbidden', true, now]);
    attempts.note(due, [], now, 0, 12 * hour);
    assert.equal(attempts.get('a', 'valid'), undefined);
  });

  it('for hosts without a token say nothing of those that have one, and a namespace that is gone is forgotten', () => {
    const attempts = new Attempts();
    attempts.note({ ...due, kind: 'missing' }, [quota], now, 0, 12 * hour);
    assert.equal(attempts.get('a', 'valid'), undefined);
    assert.equal(attempts.get('a', 'missing')?.code, 'forbidden');
    attempts.note(due, [quota], now, 0, 12 * hour);
    attempts.forget('a');
    assert.deepEqual([attempts.get('a', 'valid'), attempts.get('a', 'missing')], [undefined, undefined]);
  });

  it('are fewer and fewer where somebody else changes the Secret again and again', () => {
    const attempts = new Attempts();
    const mend = (at: number) => {
      attempts.note({ ...due, reason: 'edited' }, [], at, 0, 12 * hour);
      return (attempts.get('a', 'valid')?.retryAt ?? 0) - at;
    };
    assert.deepEqual([mend(now), mend(now + 1000), mend(now + 2000)], [500, 1000, 2000]);
    assert.equal(mend(now + 3 * hour), 500);
  });
});
