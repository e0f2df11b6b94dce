import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Retries } from '../../src/provisioning/action-retries.ts';
import { backoffMs, namespaceBackoff } from '../../src/util/backoff.ts';

describe('retries', () => {
  it('wait longer after each failure, jittered over the upper half, up to five minutes', () => {
    assert.deepEqual(
      [1, 2, 3, 9, 10, 100].map((failures) => backoffMs(namespaceBackoff, failures, 0)),
      [500, 1_000, 2_000, 128_000, 150_000, 150_000],
    );
    assert.equal(backoffMs(namespaceBackoff, 100, 1), 300_000);
  });

  it('keep each action alone, and have no end', () => {
    const retries = new Retries();
    for (let failures = 1; failures <= 50; failures += 1) {
      retries.failed('shop', 'ensure', 0, 0);
    }
    assert.equal(retries.failed('shop', 'refer default', 0, 0), 500);
    assert.equal(retries.waits('shop', 'ensure', 149_999), true);
    assert.equal(retries.waits('shop', 'ensure', 150_000), false);
    assert.equal(retries.waits('shop', 'refer default', 500), false);
    assert.equal(retries.waits('cart', 'ensure', 0), false);
    assert.deepEqual(retries.due(499), []);
    assert.deepEqual(retries.due(500), ['shop']);
  });

  it('forget what is done or no longer wanted, so that it starts anew', () => {
    const retries = new Retries();
    retries.failed('shop', 'ensure', 0, 0);
    retries.failed('shop', 'ensure', 0, 0);
    retries.keep('shop', ['ensure']);
    assert.equal(retries.failed('shop', 'ensure', 0, 0), 2_000);
    retries.keep('shop', []);
    assert.deepEqual(retries.due(1_000_000), []);
    assert.equal(retries.failed('shop', 'ensure', 0, 0), 500);
  });

  it('do again at once what somebody undid, but less and less often what is undone each time', () => {
    const retries = new Retries();
    const waits: number[] = [];
    let now = 0;
    for (let round = 0; round < 14; round += 1) {
      retries.succeeded('shop', 'refer default', now, 0);
      retries.keep('shop', ['refer default']);
      const began = now;
      while (retries.waits('shop', 'refer default', now)) now += 500;
      assert.deepEqual(retries.due(now), ['shop']);
      waits.push(now - began);
    }
    assert.deepEqual(waits.slice(0, 6), [0, 0, 500, 1_000, 2_000, 4_000]);
    assert.equal(waits.at(-1), 150_000);
    retries.succeeded('shop', 'refer default', now + 900_000, 0);
    assert.equal(retries.waits('shop', 'refer default', now + 900_000), false, 'the quarrel is over');
  });
});
