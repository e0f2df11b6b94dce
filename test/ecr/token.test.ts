import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { parseAuthorization, Token } from '../../src/ecr/token.ts';
import { TokenError } from '../../src/ecr/token-error.ts';
import { isFresh, isUnexpired, isUsable } from '../../src/ecr/token-policy.ts';

const now = Date.parse('2026-11-24T12:00:00Z');
const hourMs = 3_600_000;
const half = { fraction: 0.5, floorMs: hourMs };
const secret = 'canary0password';
const auth = Buffer.from(`AWS:${secret}`).toString('base64');

function answer(changes: object = {}): unknown {
  const data = { authorizationToken: auth, expiresAt: new Date(now + 12 * hourMs), ...changes };
  return { $metadata: {}, authorizationData: [data] };
}

describe('an answer of ECR', () => {
  it('gives a token with its life', () => {
    const token = parseAuthorization(answer(), 'eu-west-1', now);
    assert.equal(token.auth(), auth);
    assert.deepEqual([token.issuedAt, token.expiresAt], [now, now + 12 * hourMs]);
  });

  it('is never believed to last longer than AWS says, as it would look with a clock that is behind', () => {
    const long = answer({ expiresAt: new Date(now + 36 * hourMs) });
    assert.equal(parseAuthorization(long, 'eu-west-1', now).expiresAt, now + 12 * hourMs);
  });

  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const unusable: [string, unknown][] = [
    ['nothing', undefined],
    ['text', 'sign in'],
    ['an empty object', {}],
    ['no data', { authorizationData: [] }],
    ['data that is no list', { authorizationData: { authorizationToken: auth } }],
    ['null as data', { authorizationData: [null] }],
    ['no token', answer({ authorizationToken: undefined })],
    ['an empty token', answer({ authorizationToken: '' })],
    ['a token that is not base64', answer({ authorizationToken: `%%${auth}` })],
    ['a token without its padding', answer({ authorizationToken: 'QVdTOmE' })],
    ['a token with white space', answer({ authorizationToken: `${auth} \n` })],
    ['another user', answer({ authorizationToken: base64(`root:${secret}`) })],
    ['no user', answer({ authorizationToken: base64(secret) })],
    ['an empty password', answer({ authorizationToken: base64('AWS:') })],
    ['a line break in the password', answer({ authorizationToken: base64(`AWS:${secret}\n`) })],
    [
      'a token of a size that no token has',
      answer({ authorizationToken: base64(`AWS:${secret.repeat(2000)}`) }),
    ],
    ['no end', answer({ expiresAt: undefined })],
    ['an end that is no date', answer({ expiresAt: new Date(Number.NaN) })],
    ['an end as text', answer({ expiresAt: '2027-01-01T00:00:00Z' })],
    ['an end right now', answer({ expiresAt: new Date(now) })],
    ['an end in the past', answer({ expiresAt: new Date(now - 1) })],
  ];
  for (const [what, data] of unusable) {
    it(`is refused with ${what}, and shows nothing of it`, () => {
      assert.throws(
        () => parseAuthorization(data, 'eu-west-1', now),
        (error) => {
          assert.ok(error instanceof TokenError);
          assert.deepEqual(
            [error.code, error.permanent, error.region],
            ['invalid-response', false, 'eu-west-1'],
          );
          assert.ok(!inspect(error, { depth: 9, showHidden: true }).includes(secret));
          return true;
        },
      );
    });
  }
});

describe('a token', () => {
  it('never shows what it is worth unless asked', () => {
    const token = new Token(auth, { issuedAt: now, expiresAt: now + hourMs });
    const holder = { token, list: [token], map: new Map([['host', token]]) };
    const shown = [
      JSON.stringify(holder),
      inspect(holder, { depth: 9, showHidden: true, getters: true }),
      `${token}`,
      JSON.stringify({ ...token }),
      JSON.stringify(Object.entries(token)),
      inspect(structuredClone(token)),
    ].join('\n');
    assert.ok(!shown.includes(auth) && !shown.includes(secret), shown);
    assert.deepEqual(JSON.parse(JSON.stringify(token)), { issuedAt: now, expiresAt: now + hourMs });
  });

  it('lives until its end and not at it', () => {
    assert.deepEqual(
      [isUnexpired(now, now - 1), isUnexpired(now, now), isUnexpired(now, now + 1)],
      [true, false, false],
    );
  });
});

describe('freshness', () => {
  const day = { issuedAt: now, expiresAt: now + 12 * hourMs };

  it('ends at half of the life', () => {
    assert.equal(isFresh(day, now + 6 * hourMs, half), true);
    assert.equal(isFresh(day, now + 6 * hourMs + 1, half), false);
  });

  it('ends at the floor where that comes first', () => {
    const rules = { fraction: 0.01, floorMs: 2 * hourMs };
    assert.equal(isFresh(day, now + 10 * hourMs, rules), true);
    assert.equal(isFresh(day, now + 10 * hourMs + 1, rules), false);
  });

  it('is not lost to a floor that is longer than the life', () => {
    const short = { issuedAt: now, expiresAt: now + 60_000 };
    assert.equal(isFresh(short, now, half), true);
    assert.equal(isFresh(short, now + 6_000, half), true);
    assert.equal(isFresh(short, now + 6_001, half), false);
  });

  it('outlives a small step back of the clock, and ends with a large one', () => {
    assert.equal(isFresh(day, now - hourMs, half), true);
    assert.equal(isFresh(day, now - 2 * hourMs, half), false);
    assert.equal(isFresh(day, now - 1000 * hourMs, half), false);
  });

  const lives = fc
    .tuple(fc.integer({ min: 1, max: 100 * hourMs }), fc.nat({ max: 2 * now }))
    .map(([life, issuedAt]) => ({ issuedAt, expiresAt: issuedAt + life }));
  const rules = fc.record({
    fraction: fc.double({ min: 0, max: 1, noNaN: true }),
    floorMs: fc.nat({ max: 100 * hourMs }),
  });

  it('is given to every new token, whatever is asked for', () => {
    fc.assert(fc.property(lives, rules, (life, wanted) => isFresh(life, life.issuedAt, wanted)));
  });

  it('is never given to a token that has ended', () => {
    fc.assert(
      fc.property(
        lives,
        rules,
        fc.nat(),
        (life, wanted, late) => !isFresh(life, life.expiresAt + late, wanted),
      ),
    );
  });

  it('once over does not come back while the clock goes on', () => {
    fc.assert(
      fc.property(lives, rules, fc.nat(), fc.nat(), (life, wanted, first, later) => {
        const at = life.issuedAt + first;
        fc.pre(!isFresh(life, at, wanted));
        return !isFresh(life, at + later, wanted);
      }),
    );
  });

  it('lasts no longer than the life and a tenth, wherever the clock is set back to', () => {
    fc.assert(
      fc.property(lives, rules, fc.integer({ min: -200 * hourMs, max: 0 }), (life, wanted, back) => {
        const at = life.issuedAt + back;
        return !isFresh(life, at, wanted) || life.expiresAt - at <= 1.1 * (life.expiresAt - life.issuedAt);
      }),
    );
  });

  it('is more than being usable, which no dead token is and every new one', () => {
    assert.equal(isUsable(day, now + 11 * hourMs, half), true);
    assert.equal(isUsable(day, now + 11 * hourMs + 1, half), false);
    fc.assert(
      fc.property(lives, rules, fc.nat(), (life, wanted, after) => {
        const at = life.issuedAt + after;
        const usable = isUsable(life, at, wanted);
        return (usable || !isFresh(life, at, wanted)) && (!usable || isUnexpired(life.expiresAt, at));
      }),
    );
  });
});
