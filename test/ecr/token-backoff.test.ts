// Tests the delay before a failed token call is repeated.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { backoffMs, permanentRegionBackoff, transientRegionBackoff } from '../../src/util/backoff.ts';

const failures = fc.integer({ min: 1, max: 10_000 });
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const policyOf = (isPermanent: boolean) => (isPermanent ? permanentRegionBackoff : transientRegionBackoff);

describe('backoff', () => {
  it('grows from 1 second to 2 minutes for transient failures', () => {
    assert.equal(backoffMs(transientRegionBackoff, 1, 1), 1_000);
    assert.equal(backoffMs(transientRegionBackoff, 99, 1), 120_000);
  });

  it('grows from 15 seconds to 5 minutes for failures that the operator has to resolve', () => {
    assert.equal(backoffMs(permanentRegionBackoff, 1, 1), 15_000);
    assert.equal(backoffMs(permanentRegionBackoff, 99, 1), 300_000);
  });

  it('is jittered over the upper half of the full delay', () => {
    fc.assert(
      fc.property(failures, fc.boolean(), chance, (n, permanent, random) => {
        const wait = backoffMs(policyOf(permanent), n, random);
        const full = backoffMs(policyOf(permanent), n, 1);
        return Number.isInteger(wait) && wait >= full / 2 - 1 && wait <= full;
      }),
    );
  });

  it('never becomes shorter with more failures', () => {
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
