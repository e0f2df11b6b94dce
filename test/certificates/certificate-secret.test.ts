import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { bundleOf, readBundle } from '../../src/certificates/ca-bundle.ts';
import { type Content, dataOf, readStored } from '../../src/certificates/certificate-secret.ts';
import { DAY, testAuthority, testServing } from './test-certificates.ts';

const now = Date.now();
const [authority, other] = await Promise.all([testAuthority(now), testAuthority(now)]);
const ipAddresses = ['127.0.0.1', '::1', '::ffff:10.0.0.1'];
const leaf = await testServing(authority, now, { dnsNames: ['web.apps.svc', '*.apps.svc'], ipAddresses });
const content: Content = { authorities: [authority, other], authorityKeyPem: authority.keyPem, leaf };
const names = ['web.apps.svc', '*.apps.svc', ...ipAddresses];

function problemsWith(change: Partial<Content>) {
  const { authorityProblem, leafProblem } = readStored(dataOf({ ...content, ...change }), names);
  return [authorityProblem, leafProblem];
}

describe('a Secret', () => {
  it('says what was written into it', () => {
    const stored = readStored(dataOf(content), names);
    const ids = readBundle(bundleOf([authority, other])).authorities.map(({ id }) => id);
    assert.deepEqual(
      stored.authorities.map(({ id }) => id),
      ids,
    );
    assert.deepEqual([stored.leaf?.authority, stored.leaf?.lacks], [ids[0], []]);
    assert.deepEqual([stored.authorityProblem, stored.leafProblem], [undefined, undefined]);
    assert.equal(stored.leaf?.issuedAt, Math.floor(now / 1000) * 1000);
    assert.equal(stored.leaf.endsAt, Math.floor((now + DAY) / 1000) * 1000);
    assert.deepEqual(dataOf({ ...content, ...stored, leaf: stored.leaf.pair }), dataOf(content));
  });

  it('says which names are missing, whatever form an address has', () => {
    const wanted = ['new.apps.svc', 'x.apps.svc', '0:0:0:0:0:0:0:1', '10.0.0.1', '127.0.0.1'];
    const { leaf } = readStored(dataOf(content), wanted);
    assert.deepEqual(leaf?.lacks, ['new.apps.svc', 'x.apps.svc', '10.0.0.1']);
  });

  it('says which of its CAs signed the certificate, by signature', async () => {
    const ofOther = readStored(dataOf({ ...content, leaf: await testServing(other, now) }), []);
    assert.equal(ofOther.leaf?.authority, ofOther.authorities[1]?.id);
    const ofNone = readStored(dataOf({ ...content, authorities: [other] }), []);
    assert.equal(ofNone.leaf?.authority, undefined);
  });

  it('says what is wrong with it, and never throws', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const notRsa = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    assert.deepEqual(problemsWith({ authorities: [] }), ['authority-missing', undefined]);
    assert.deepEqual(problemsWith({ authorities: [leaf] }), ['authority-missing', undefined]);
    assert.deepEqual(problemsWith({ authorityKeyPem: 'garbage' }), ['authority-key-bad', undefined]);
    assert.deepEqual(problemsWith({ authorityKeyPem: notRsa }), ['authority-key-bad', undefined]);
    assert.deepEqual(problemsWith({ authorityKeyPem: other.keyPem }), ['authority-key-mismatch', undefined]);
    assert.deepEqual(problemsWith({ leaf: { certPem: 'x', keyPem: leaf.keyPem } }), [undefined, 'leaf-bad']);
    assert.deepEqual(problemsWith({ leaf: { ...leaf, keyPem: 'x' } }), [undefined, 'leaf-key-bad']);
    assert.deepEqual(problemsWith({ leaf: { ...leaf, keyPem: other.keyPem } }), [
      undefined,
      'leaf-key-mismatch',
    ]);
    assert.deepEqual(problemsWith({ leaf: { certPem: '', keyPem: '' } }), [undefined, 'leaf-missing']);
    assert.equal(readStored({}, names).authorityProblem, 'authority-missing');
    assert.equal(readStored({ 'ca.crt': '!', 'tls.crt': '/w==' }, names).leafProblem, 'leaf-bad');
  });
});

describe('a bundle', () => {
  it('is garbled by anything that is no CA', () => {
    const text = bundleOf([authority, other]);
    assert.equal(readBundle(text).garbled, false);
    assert.equal(readBundle(`\n${text}\n`).garbled, false);
    for (const addition of [
      'x',
      bundleOf([leaf]),
      authority.keyPem,
      '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----',
    ]) {
      const { authorities, garbled } = readBundle(text + addition);
      assert.deepEqual([authorities.length, garbled], [2, true]);
    }
    assert.deepEqual(readBundle(''), { authorities: [], garbled: false });
  });
});
