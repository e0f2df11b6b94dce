// Tests which failures are due for an Event or a warning, and when.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  FailureTracker,
  failureEventDelayMs,
  findFailuresOfWaitingPods,
  settlingDelayMs,
  urgentEventDelayMs,
} from '../../src/renewal/failure-reports.ts';
import type { Overdue } from '../../src/renewal/plan-types.ts';

const hourMs = 3_600_000;
const now = Date.UTC(2026, 10, 23, 12);
const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';

function overdue(
  namespace: string,
  since: number,
  expiresAt: number | undefined,
  code = 'throttled',
): Overdue {
  const permanent = code !== 'throttled' && code !== 'timeout';
  const failure = { code, permanent, message: code, since, at: now, retryAt: now };
  return { namespace, host, kind: expiresAt === undefined ? 'missing' : 'valid', expiresAt, failure };
}

/** How many ms a failure lasts before it is reported. */
function findDelay(failing: Overdue): number | undefined {
  const delays = [0, settlingDelayMs, urgentEventDelayMs, failureEventDelayMs];
  const tracker = new FailureTracker();
  for (const delay of delays) {
    if (delay > 0) {
      assert.deepEqual(tracker.update([failing], now + delay - 1).failing, []);
    }
    if (tracker.update([failing], now + delay).failing.length > 0) {
      return delay;
    }
  }
  return undefined;
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

  it('contain a permanent failure at once, whether or not the stored token is still valid', () => {
    assert.equal(findDelay(overdue('a', now, undefined, 'AccessDeniedException')), 0);
    assert.equal(findDelay(overdue('a', now, now + hourMs, 'AccessDeniedException')), 0);
    assert.equal(findDelay(overdue('a', now, undefined, 'throttled')), failureEventDelayMs);
  });

  it('contain a permanent failure in the cluster after some seconds, because a ServiceAccount or a permission may be new', () => {
    const unresolved = { ...overdue('a', now, undefined, 'role-not-allowed'), isUnresolved: true };
    assert.equal(findDelay(unresolved), settlingDelayMs);
    assert.equal(findDelay(overdue('a', now, undefined, 'no-credentials')), settlingDelayMs);
    const refused = overdue('a', now, undefined, 'forbidden');
    assert.equal(findDelay({ ...refused, isUrgent: true }), settlingDelayMs, 'the Secret cannot be written');
    const write = { ...refused, failure: { ...refused.failure, cause: 'write' as const } };
    assert.equal(findDelay(write), settlingDelayMs, 'neither can a Secret with a valid token');
    const restarted = { ...unresolved, failure: { ...unresolved.failure, since: now + settlingDelayMs } };
    const tracker = new FailureTracker();
    assert.deepEqual(tracker.update([restarted], now + settlingDelayMs).failing, [], 'the facts changed');
  });

  it('contain a host once an hour for each permanent cause, and once for all causes that may pass', () => {
    const tracker = new FailureTracker();
    const codesAt = (ms: number, code: string) =>
      tracker
        .update([overdue('a', now, undefined, code)], now + ms)
        .failing.map(({ failure }) => failure.code);
    assert.deepEqual(codesAt(0, 'role-missing'), ['role-missing']);
    assert.deepEqual(codesAt(1_000, 'AccessDenied'), ['AccessDenied'], 'the first mistake was corrected');
    for (let flap = 1; flap < 100; flap += 1) {
      assert.deepEqual(codesAt(1_000 + flap, flap % 2 === 0 ? 'role-missing' : 'AccessDenied'), []);
    }
    assert.deepEqual(codesAt(failureEventDelayMs, 'throttled'), ['throttled']);
    assert.deepEqual(codesAt(failureEventDelayMs + 1, 'timeout'), []);
    assert.deepEqual(codesAt(hourMs, 'role-missing'), ['role-missing']);
  });

  it('contain a host again whose Event was not sent', () => {
    const tracker = new FailureTracker();
    const failing = overdue('a', now, undefined, 'AccessDenied');
    tracker.update([failing], now);
    tracker.markUnreported(failing);
    assert.deepEqual(tracker.update([failing], now).failing, [failing]);
    tracker.markUnreported(failing);
    assert.deepEqual(tracker.update([], now).recovered, [], 'nobody learned that it failed');
  });

  it('say when the first pods of a host can get an Event', () => {
    const tracker = new FailureTracker();
    const temporary = overdue('a', now, undefined);
    const permanent = overdue('b', now, undefined, 'AccessDenied');
    const stillValid = overdue('c', now, now + hourMs, 'AccessDenied');
    const hasNewAt = (ms: number, ...failing: Overdue[]) =>
      tracker.update(failing, now + ms).hasNewWaitingHost;
    assert.equal(hasNewAt(0, temporary, stillValid), false);
    assert.equal(hasNewAt(1, temporary, permanent, stillValid), true);
    assert.equal(hasNewAt(2, temporary, permanent, stillValid), false);
    assert.equal(hasNewAt(urgentEventDelayMs, temporary, permanent), true);
    assert.equal(hasNewAt(urgentEventDelayMs + 1, temporary, permanent), false);
    const failures = findFailuresOfWaitingPods([temporary, permanent, stillValid], now + 1);
    assert.deepEqual([...failures.keys()], ['b']);
    assert.equal(failures.get('b')?.get(host)?.code, 'AccessDenied');
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
      overdue(`team-${index}`, now, firstExpiresAt + index, 'AccessDeniedException'),
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
