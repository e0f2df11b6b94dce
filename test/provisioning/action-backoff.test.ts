// Tests the backoff of failed and reverted provisioning actions.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ActionBackoff } from '../../src/provisioning/action-backoff.ts';
import { backoffMs, namespaceBackoff } from '../../src/util/backoff.ts';

describe('action backoff', () => {
  it('grows with each failure, jittered over the upper half, up to five minutes', () => {
    assert.deepEqual(
      [1, 2, 3, 9, 10, 100].map((failures) => backoffMs(namespaceBackoff, failures, 0)),
      [500, 1_000, 2_000, 128_000, 150_000, 150_000],
    );
    assert.equal(backoffMs(namespaceBackoff, 100, 1), 300_000);
  });

  it('is separate for each action, and never gives up', () => {
    const backoff = new ActionBackoff();
    for (let failures = 1; failures <= 50; failures += 1) {
      backoff.recordFailure('shop', 'ensure-secret', 0, 0);
    }
    assert.equal(backoff.recordFailure('shop', 'add-reference default', 0, 0), 500);
    assert.equal(backoff.isBackingOff('shop', 'ensure-secret', 149_999), true);
    assert.equal(backoff.isBackingOff('shop', 'ensure-secret', 150_000), false);
    assert.equal(backoff.isBackingOff('shop', 'add-reference default', 500), false);
    assert.equal(backoff.isBackingOff('cart', 'ensure-secret', 0), false);
    assert.deepEqual(backoff.takeDue(499), []);
    assert.deepEqual(backoff.takeDue(500), ['shop']);
  });

  it('starts again after an action succeeded or is no longer planned', () => {
    const backoff = new ActionBackoff();
    backoff.recordFailure('shop', 'ensure-secret', 0, 0);
    backoff.recordFailure('shop', 'ensure-secret', 0, 0);
    backoff.updatePlanned('shop', ['ensure-secret']);
    assert.equal(backoff.recordFailure('shop', 'ensure-secret', 0, 0), 2_000);
    backoff.updatePlanned('shop', []);
    assert.deepEqual(backoff.takeDue(1_000_000), []);
    assert.equal(backoff.recordFailure('shop', 'ensure-secret', 0, 0), 500);
  });

  it('allows a first repair at once, and grows when another writer keeps reverting the action', () => {
    const backoff = new ActionBackoff();
    const delays: number[] = [];
    let now = 0;
    for (let round = 0; round < 14; round += 1) {
      backoff.recordSuccess('shop', 'add-reference default', now, 0);
      backoff.updatePlanned('shop', ['add-reference default']);
      const startedAt = now;
      while (backoff.isBackingOff('shop', 'add-reference default', now)) {
        now += 500;
      }
      assert.deepEqual(backoff.takeDue(now), ['shop']);
      delays.push(now - startedAt);
    }
    assert.deepEqual(delays.slice(0, 6), [0, 0, 500, 1_000, 2_000, 4_000]);
    assert.equal(delays.at(-1), 150_000);
    backoff.recordSuccess('shop', 'add-reference default', now + 900_000, 0);
    assert.equal(
      backoff.isBackingOff('shop', 'add-reference default', now + 900_000),
      false,
      'no longer flapping',
    );
  });
});
