// Tests which failures are due for an Event or a warning, and when.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  FailureTracker,
  failureEventDelayMs,
  urgentEventDelayMs,
} from '../../src/renewal/failure-reports.ts';
import type { Overdue } from '../../src/renewal/plan-types.ts';

const hourMs = 3_600_000;
const now = Date.UTC(2026, 10, 23, 12);
const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';

function overdue(namespace: string, since: number, expiresAt: number | undefined): Overdue {
  const failure = {
    code: 'AccessDeniedException',
    permanent: true,
    message: 'refused',
    since,
    at: now,
    retryAt: now,
  };
  return { namespace, host, kind: 'valid', expiresAt, failure };
}

describe('failure reports', () => {
  it('contain a failing host once an hour, and once that it has recovered', () => {
    const tracker = new FailureTracker();
    const failing = overdue('a', now, undefined);
    assert.deepEqual(tracker.update([failing], now + failureEventDelayMs - 1).failing, []);
    assert.deepEqual(tracker.update([failing], now + failureEventDelayMs).failing, [failing]);
    assert.deepEqual(tracker.update([failing], now + failureEventDelayMs + hourMs - 1).failing, []);
    assert.deepEqual(tracker.update([failing], now + failureEventDelayMs + hourMs).failing, [failing]);
    const report = tracker.update([], now + 2 * hourMs);
    assert.deepEqual(report.recovered, [{ namespace: 'a', host }]);
    assert.deepEqual(tracker.update([], now + 2 * hourMs).recovered, []);
  });

  it('contain a host that cannot be stored after a minute, because its pods cannot pull', () => {
    const tracker = new FailureTracker();
    const failing = { ...overdue('a', now, undefined), isUrgent: true };
    assert.deepEqual(tracker.update([failing], now + urgentEventDelayMs - 1).failing, []);
    assert.deepEqual(tracker.update([failing], now + urgentEventDelayMs).failing, [failing]);
    assert.deepEqual(tracker.update([failing], now + hourMs).failing, []);
  });

  it('contain neither a short failure nor its recovery', () => {
    const tracker = new FailureTracker();
    tracker.update([overdue('a', now, undefined)], now + 1000);
    assert.deepEqual(tracker.update([], now + 2000).recovered, []);
  });

  it('contain expiring tokens 3 hours before the first one expires, once an hour for each cause and for any number of namespaces', () => {
    const tracker = new FailureTracker();
    const firstExpiresAt = now + 6 * hourMs;
    const all = Array.from({ length: 1000 }, (_, index) =>
      overdue(`team-${index}`, now, firstExpiresAt + index),
    );
    assert.deepEqual(tracker.update(all, now).expiring, []);
    const [warning, ...others] = tracker.update(all, firstExpiresAt - 3 * hourMs + 1000).expiring;
    assert.deepEqual(others, []);
    assert.deepEqual(
      [warning?.namespaces, warning?.firstExpiresAt, warning?.permanent],
      [1000, firstExpiresAt, true],
    );
    assert.deepEqual(tracker.update(all, firstExpiresAt - 2.5 * hourMs).expiring, []);
    assert.equal(tracker.update(all, firstExpiresAt - 2 * hourMs + 1000).expiring.length, 1);
  });

  it('contain one warning for a code whose messages differ from namespace to namespace', () => {
    const tracker = new FailureTracker();
    const overdueIn = (count: number) =>
      Array.from({ length: count }, (_, index) => {
        const host = overdue(`team-${index}`, now, now + hourMs);
        return { ...host, failure: { ...host.failure, message: `role of team-${index} refused` } };
      });
    assert.equal(tracker.update(overdueIn(10), now).expiring.length, 10);
    const all = new FailureTracker().update(overdueIn(10_000), now).expiring;
    assert.deepEqual(
      all.map(({ namespaces, message }) => [namespaces, message]),
      [[10_000, 'role of team-0 refused']],
    );
  });
});
