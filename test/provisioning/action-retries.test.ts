import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ActionBackoff } from '../../src/provisioning/action-retries.ts';
import { namespaceBackoff, tokenRetryMs } from '../../src/util/backoff.ts';

describe('retries', () => {
  it('wait longer after each failure, jittered over the upper half, up to five minutes', () => {
    assert.deepEqual(
      [1, 2, 3, 9, 10, 100].map((failures) => tokenRetryMs(namespaceBackoff, failures, 0)),
      [500, 1_000, 2_000, 128_000, 150_000, 150_000],
    );
    assert.equal(tokenRetryMs(namespaceBackoff, 100, 1), 300_000);
  });

  it('keep each action alone, and have no end', () => {
    const retries = new ActionBackoff();
    for (let failures = 1; failures <= 50; failures += 1) {
      retries.recordFailure('shop', 'ensure', 0, 0);
    }
    assert.equal(retries.recordFailure('shop', 'refer default', 0, 0), 500);
    assert.equal(retries.isBackingOff('shop', 'ensure', 149_999), true);
    assert.equal(retries.isBackingOff('shop', 'ensure', 150_000), false);
    assert.equal(retries.isBackingOff('shop', 'refer default', 500), false);
    assert.equal(retries.isBackingOff('cart', 'ensure', 0), false);
    assert.deepEqual(retries.takeDue(499), []);
    assert.deepEqual(retries.takeDue(500), ['shop']);
  });

  it('forget what is done or no longer wanted, so that it starts anew', () => {
    const retries = new ActionBackoff();
    retries.recordFailure('shop', 'ensure', 0, 0);
    retries.recordFailure('shop', 'ensure', 0, 0);
    retries.updatePlanned('shop', ['ensure']);
    assert.equal(retries.recordFailure('shop', 'ensure', 0, 0), 2_000);
    retries.updatePlanned('shop', []);
    assert.deepEqual(retries.takeDue(1_000_000), []);
    assert.equal(retries.recordFailure('shop', 'ensure', 0, 0), 500);
  });

  it('do again at once what somebody undid, but less and less often what is undone each time', () => {
    const retries = new ActionBackoff();
    const waits: number[] = [];
    let now = 0;
    for (let round = 0; round < 14; round += 1) {
      retries.recordSuccess('shop', 'refer default', now, 0);
      retries.updatePlanned('shop', ['refer default']);
      const began = now;
      while (retries.isBackingOff('shop', 'refer default', now)) now += 500;
      assert.deepEqual(retries.takeDue(now), ['shop']);
      waits.push(now - began);
    }
    assert.deepEqual(waits.slice(0, 6), [0, 0, 500, 1_000, 2_000, 4_000]);
    assert.equal(waits.at(-1), 150_000);
    retries.recordSuccess('shop', 'refer default', now + 900_000, 0);
    assert.equal(retries.isBackingOff('shop', 'refer default', now + 900_000), false, 'the quarrel is over');
  });
});
