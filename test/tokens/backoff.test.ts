import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { backoffMs } from '../../src/tokens/backoff.ts';

const failures = fc.integer({ min: 1, max: 10_000 });
const chance = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
const highest = 1 - Number.EPSILON;

describe('backoff', () => {
  it('begins with a second, and ends with two minutes, where waiting helps', () => {
    assert.equal(
      backoffMs(1, false, () => highest),
      1_000,
    );
    assert.equal(
      backoffMs(99, false, () => highest),
      120_000,
    );
  });

  it('begins with a quarter of a minute, and ends with five minutes, where somebody has to act', () => {
    assert.equal(
      backoffMs(1, true, () => highest),
      15_000,
    );
    assert.equal(
      backoffMs(99, true, () => highest),
      300_000,
    );
  });

  it('never waits less than half of the full wait, nor more than all of it', () => {
    fc.assert(
      fc.property(failures, fc.boolean(), chance, (n, permanent, random) => {
        const wait = backoffMs(n, permanent, () => random);
        const full = backoffMs(n, permanent, () => highest);
        return Number.isInteger(wait) && wait >= full / 2 && wait <= full;
      }),
    );
  });

  it('never gets shorter with more failures', () => {
    fc.assert(
      fc.property(failures, fc.boolean(), chance, (n, permanent, random) => {
        return backoffMs(n + 1, permanent, () => random) >= backoffMs(n, permanent, () => random);
      }),
    );
  });

  it('is longer for a permanent failure than for a transient one, whatever the jitter', () => {
    fc.assert(
      fc.property(failures, chance, chance, (n, one, other) => {
        return backoffMs(n, true, () => one) > backoffMs(n, false, () => other);
      }),
    );
  });
});
