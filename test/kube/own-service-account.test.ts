// Tests that the program finds its ServiceAccount in the claims of its token.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseServiceAccountToken } from '../../src/kube/own-service-account.ts';

const tokenWith = (claims: unknown) =>
  ['{}', JSON.stringify(claims), 'signature']
    .map((part) => Buffer.from(part).toString('base64url'))
    .join('.');
const serviceaccount = { name: 'puller', uid: '8f1f2c1e' };

describe('the ServiceAccount in a token', () => {
  it('is read from the claims of a bound token', () => {
    const claims = { 'kubernetes.io': { namespace: 'pulls', serviceaccount, pod: { name: 'p', uid: 'u' } } };
    assert.deepEqual(parseServiceAccountToken(tokenWith(claims)), { namespace: 'pulls', ...serviceaccount });
  });

  it('is undefined for other tokens, which never throw', () => {
    const legacy = { 'kubernetes.io/serviceaccount/namespace': 'pulls' };
    for (const claims of [
      null,
      [],
      {},
      legacy,
      { 'kubernetes.io': { serviceaccount } },
      { 'kubernetes.io': 1 },
    ]) {
      assert.equal(parseServiceAccountToken(tokenWith(claims)), undefined);
    }
    for (const token of ['', 'a-static-token', 'a.b', '.%%%.']) {
      assert.equal(parseServiceAccountToken(token), undefined);
    }
    fc.assert(fc.property(fc.string(), (token) => parseServiceAccountToken(token) === undefined));
    fc.assert(
      fc.property(
        fc.json(),
        (claims) => parseServiceAccountToken(tokenWith(JSON.parse(claims))) === undefined,
      ),
    );
  });
});
