// Tests the limits on pending hosts per namespace and in total.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PendingHostCounter } from '../../src/webhook/bounded-ensure.ts';

describe('pending hosts', () => {
  it('are bounded per namespace and in total, and there is room again once some are done', () => {
    const pendingHosts = new PendingHostCounter(10, 4);
    assert.ok(pendingHosts.tryAdd('a', 4));
    assert.ok(!pendingHosts.tryAdd('a', 1));
    assert.ok(pendingHosts.tryAdd('b', 4));
    assert.ok(!pendingHosts.tryAdd('c', 3));
    assert.ok(pendingHosts.tryAdd('c', 2));
    pendingHosts.remove('a', 4);
    assert.ok(pendingHosts.tryAdd('a', 4));
  });
});
