// Tests when a token is fresh, usable and expired, with clocks that are set back or wrong.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isFresh, isUnexpired, isUsable } from '../../src/ecr/token-policy.ts';

const now = Date.parse('2026-11-24T12:00:00Z');
const hourMs = 3_600_000;
const half = { fraction: 0.5, floorMs: hourMs };

describe('freshness', () => {
  const day = { issuedAt: now, expiresAt: now + 12 * hourMs };

  it('ends at half of the lifetime', () => {
    assert.equal(isFresh(day, now + 6 * hourMs, half), true);
    assert.equal(isFresh(day, now + 6 * hourMs + 1, half), false);
  });

  it('ends at the floor if that is earlier', () => {
    const rules = { fraction: 0.01, floorMs: 2 * hourMs };
    assert.equal(isFresh(day, now + 10 * hourMs, rules), true);
    assert.equal(isFresh(day, now + 10 * hourMs + 1, rules), false);
  });

  it('lasts a tenth of a lifetime that is shorter than the floor', () => {
    const short = { issuedAt: now, expiresAt: now + 60_000 };
    assert.equal(isFresh(short, now, half), true);
    assert.equal(isFresh(short, now + 6_000, half), true);
    assert.equal(isFresh(short, now + 6_001, half), false);
  });

  it('survives a small step back of the clock, but not a large one', () => {
    assert.equal(isFresh(day, now - hourMs, half), true);
    assert.equal(isFresh(day, now - 2 * hourMs, half), false);
    assert.equal(isFresh(day, now - 1000 * hourMs, half), false);
  });

  const lifetimes = fc
    .tuple(fc.integer({ min: 1, max: 100 * hourMs }), fc.nat({ max: 2 * now }))
    .map(([lifetime, issuedAt]) => ({ issuedAt, expiresAt: issuedAt + lifetime }));
  const rules = fc.record({
    fraction: fc.double({ min: 0, max: 1, noNaN: true }),
    floorMs: fc.nat({ max: 100 * hourMs }),
  });

  it('applies to every new token, whatever is required', () => {
    fc.assert(
      fc.property(lifetimes, rules, (lifetime, required) => isFresh(lifetime, lifetime.issuedAt, required)),
    );
  });

  it('never applies to an expired token', () => {
    fc.assert(
      fc.property(
        lifetimes,
        rules,
        fc.nat(),
        (lifetime, required, late) => !isFresh(lifetime, lifetime.expiresAt + late, required),
      ),
    );
  });

  it('does not return while the clock advances', () => {
    fc.assert(
      fc.property(lifetimes, rules, fc.nat(), fc.nat(), (lifetime, required, first, later) => {
        const at = lifetime.issuedAt + first;
        fc.pre(!isFresh(lifetime, at, required));
        return !isFresh(lifetime, at + later, required);
      }),
    );
  });

  it('lasts at most 1.1 lifetimes, wherever the clock is set back to', () => {
    fc.assert(
      fc.property(
        lifetimes,
        rules,
        fc.integer({ min: -200 * hourMs, max: 0 }),
        (lifetime, required, back) => {
          const at = lifetime.issuedAt + back;
          return (
            !isFresh(lifetime, at, required) ||
            lifetime.expiresAt - at <= 1.1 * (lifetime.expiresAt - lifetime.issuedAt)
          );
        },
      ),
    );
  });

  it('implies that a token is usable, which no expired token is and every new one is', () => {
    assert.equal(isUsable(day, now + 11 * hourMs, half), true);
    assert.equal(isUsable(day, now + 11 * hourMs + 1, half), false);
    fc.assert(
      fc.property(lifetimes, rules, fc.nat(), (lifetime, required, after) => {
        const at = lifetime.issuedAt + after;
        const usable = isUsable(lifetime, at, required);
        return (
          (usable || !isFresh(lifetime, at, required)) && (!usable || isUnexpired(lifetime.expiresAt, at))
        );
      }),
    );
  });
});
