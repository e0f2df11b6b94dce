// Tests how image references are divided into host, repository and tag or digest.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseImageReference } from '../../src/ecr/image-reference.ts';

const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
/** Characters that have a meaning in references or URLs, and some that have none. */
const unit = fc.constantFrom(...'ab1./:@%-_?#\\ \n');
const digest = `sha256:${'0a'.repeat(32)}`;

describe('an image reference', () => {
  for (const [image, repository, reference] of [
    [`${host}/cart`, 'cart', 'latest'],
    [`${host}/team-a/cart_api/v1.2:1.0-rc.1`, 'team-a/cart_api/v1.2', '1.0-rc.1'],
    [`${host}/cart@${digest}`, 'cart', digest],
    [`${host}/cart:1@${digest}`, 'cart', digest],
    ['registry.example.com:5000/a__b/c--d:2', 'a__b/c--d', '2'],
  ] as const) {
    it(`is divided: ${image.slice(0, 90)}`, () => {
      assert.deepEqual(parseImageReference(image), { host: image.split('/')[0], repository, reference });
    });
  }

  for (const [image, problem] of [
    [`${host}/Cart:1`, /repository/],
    [`${host}/../cart:1`, /repository/],
    [`${host}/cart?x=y`, /repository/],
    [`${host}/cart%2f:1`, /repository/],
    [`${host}/a//b:1`, /repository/],
    [`${host}/cart:`, /tag/],
    [`${host}/cart:1/2`, /tag/],
    [`${host}/cart:${'1'.repeat(129)}`, /tag/],
    [`${host}/cart@sha256:12`, /digest/],
    [`${host}/cart@sha512:${'0'.repeat(128)}`, /digest/],
  ] as const) {
    it(`is refused with the reason: ${image.slice(40, 100)}`, () => {
      assert.match(String(parseImageReference(image)), problem);
    });
  }

  it('has no host without a slash', () => {
    assert.equal(parseImageReference('nginx:1'), undefined);
    assert.equal(parseImageReference(''), undefined);
  });

  it('contains only characters that a path of a URL may contain, whatever is given', () => {
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 12 }), (text) => {
        const parsed = parseImageReference(`${host}/${text}`);
        if (typeof parsed === 'object') {
          const path = `/v2/${parsed.repository}/manifests/${parsed.reference}`;
          assert.equal(new URL(path, 'https://example.com').href, `https://example.com${path}`);
        }
      }),
    );
  });

  it('takes linear time', () => {
    const startedAt = performance.now();
    parseImageReference(`${host}/${'a-'.repeat(127)}!`);
    parseImageReference(`${host}/${'a'.repeat(1_000_000)}!`);
    assert.ok(performance.now() - startedAt < 1_000);
  });
});
