// Tests the delay before a failed token call is repeated.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { backoffMs, permanentRegionBackoff, transientRegionBackoff } from '../../src/util/backoff.ts';

const failures = fc.integer({ min: 1, max: 10_000 });
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const policyOf = (isPermanent: boolean) => (isPermanent ? permanentRegionBackoff : transientRegionBackoff);

describe('backoff', () => {
  it('begins with a second, and ends with two minutes, where waiting helps', () => {
    assert.equal(backoffMs(transientRegionBackoff, 1, 1), 1_000);
    assert.equal(backoffMs(transientRegionBackoff, 99, 1), 120_000);
  });

  it('begins with a quarter of a minute, and ends with five minutes, where somebody has to act', () => {
    assert.equal(backoffMs(permanentRegionBackoff, 1, 1), 15_000);
    assert.equal(backoffMs(permanentRegionBackoff, 99, 1), 300_000);
  });

  it('never waits less than half of the full wait, nor more than all of it', () => {
    fc.assert(
      fc.property(failures, fc.boolean(), chance, (n, permanent, random) => {
        const wait = backoffMs(policyOf(permanent), n, random);
        const full = backoffMs(policyOf(permanent), n, 1);
        return Number.isInteger(wait) && wait >= full / 2 - 1 && wait <= full;
      }),
    );
  });

  it('never gets shorter with more failures', () => {
    fc.assert(
      fc.property(failures, fc.boolean(), chance, (n, permanent, random) => {
        return backoffMs(policyOf(permanent), n + 1, random) >= backoffMs(policyOf(permanent), n, random);
      }),
    );
  });

  it('is longer for a permanent failure than for a transient one, whatever the jitter', () => {
    fc.assert(
      fc.property(failures, chance, chance, (n, one, other) => {
        return backoffMs(permanentRegionBackoff, n, one) > backoffMs(transientRegionBackoff, n, other);
      }),
    );
  });
});
