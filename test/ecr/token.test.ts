// Tests how a response of GetAuthorizationToken is validated, and that a token hides its password.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { parseAuthorization, Token } from '../../src/ecr/token.ts';
import { TokenError } from '../../src/ecr/token-error.ts';
import { isUnexpired } from '../../src/ecr/token-policy.ts';

const now = Date.parse('2026-11-24T12:00:00Z');
const hourMs = 3_600_000;
const secret = 'canary0password';
const auth = Buffer.from(`AWS:${secret}`).toString('base64');

function createResponse(changes: object = {}): unknown {
  const data = { authorizationToken: auth, expiresAt: new Date(now + 12 * hourMs), ...changes };
  return { $metadata: {}, authorizationData: [data] };
}

describe('a response of GetAuthorizationToken', () => {
  it('is parsed to a token with its lifetime', () => {
    const token = parseAuthorization(createResponse(), 'eu-west-1', now, undefined);
    assert.equal(token.auth(), auth);
    assert.deepEqual([token.issuedAt, token.expiresAt], [now, now + 12 * hourMs]);
  });

  it('never gives a token more than 12 hours, as a clock that is behind would', () => {
    const long = createResponse({ expiresAt: new Date(now + 36 * hourMs) });
    assert.equal(parseAuthorization(long, 'eu-west-1', now, undefined).expiresAt, now + 12 * hourMs);
  });

  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const unusable: [string, unknown][] = [
    ['nothing', undefined],
    ['text', 'sign in'],
    ['an empty object', {}],
    ['no data', { authorizationData: [] }],
    ['data that is not a list', { authorizationData: { authorizationToken: auth } }],
    ['null as data', { authorizationData: [null] }],
    ['no token', createResponse({ authorizationToken: undefined })],
    ['an empty token', createResponse({ authorizationToken: '' })],
    ['a token that is not base64', createResponse({ authorizationToken: `%%${auth}` })],
    ['a token without its padding', createResponse({ authorizationToken: 'QVdTOmE' })],
    ['a token with white space', createResponse({ authorizationToken: `${auth} \n` })],
    ['another user', createResponse({ authorizationToken: base64(`root:${secret}`) })],
    ['no user', createResponse({ authorizationToken: base64(secret) })],
    ['an empty password', createResponse({ authorizationToken: base64('AWS:') })],
    ['a line break in the password', createResponse({ authorizationToken: base64(`AWS:${secret}\n`) })],
    [
      'a token of a size that no token has',
      createResponse({ authorizationToken: base64(`AWS:${secret.repeat(2000)}`) }),
    ],
    ['no expiry', createResponse({ expiresAt: undefined })],
    ['an expiry that is not a date', createResponse({ expiresAt: new Date(Number.NaN) })],
    ['an end as text', createResponse({ expiresAt: '2027-01-01T00:00:00Z' })],
    ['an end right now', createResponse({ expiresAt: new Date(now) })],
    ['an end in the past', createResponse({ expiresAt: new Date(now - 1) })],
  ];
  for (const [what, data] of unusable) {
    it(`is rejected with ${what}, and nothing of it is shown`, () => {
      assert.throws(
        () => parseAuthorization(data, 'eu-west-1', now, undefined),
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
  it('never shows its password except by auth()', () => {
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

  it('has expired at expiresAt, and not before', () => {
    assert.deepEqual(
      [isUnexpired(now, now - 1), isUnexpired(now, now), isUnexpired(now, now + 1)],
      [true, false, false],
    );
  });
});
