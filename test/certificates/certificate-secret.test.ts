// Tests that the certificate Secret is parsed as it was written, and that damaged content is reported and never throws.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { formatCaBundle, parseCaBundle } from '../../src/certificates/ca-bundle.ts';
import {
  formatSecretData,
  parseStored,
  type SecretContent,
} from '../../src/certificates/certificate-secret.ts';
import { dayMs, issueTestCa, issueTestServingCertificate } from './test-certificates.ts';

const now = Date.now();
const [ca, other] = await Promise.all([issueTestCa(now), issueTestCa(now)]);
const ipAddresses = ['127.0.0.1', '::1', '::ffff:10.0.0.1'];
const servingCertificate = await issueTestServingCertificate(ca, now, {
  dnsNames: ['web.apps.svc', '*.apps.svc'],
  ipAddresses,
});
const content: SecretContent = { caCertificates: [ca, other], caKeyPem: ca.keyPem, servingCertificate };
const names = ['web.apps.svc', '*.apps.svc', ...ipAddresses];

function problemsWith(change: Partial<SecretContent>) {
  const { caProblem, servingCertificateProblem } = parseStored(
    formatSecretData({ ...content, ...change }),
    names,
  );
  return [caProblem, servingCertificateProblem];
}

describe('a Secret', () => {
  it('is parsed as it was written', () => {
    const stored = parseStored(formatSecretData(content), names);
    const ids = parseCaBundle(formatCaBundle([ca, other])).caCertificates.map(({ id }) => id);
    assert.deepEqual(
      stored.caCertificates.map(({ id }) => id),
      ids,
    );
    assert.deepEqual(
      [stored.servingCertificate?.issuerId, stored.servingCertificate?.missingNames],
      [ids[0], []],
    );
    assert.deepEqual([stored.caProblem, stored.servingCertificateProblem], [undefined, undefined]);
    assert.equal(stored.servingCertificate?.issuedAt, Math.floor(now / 1000) * 1000);
    assert.equal(stored.servingCertificate.expiresAt, Math.floor((now + dayMs) / 1000) * 1000);
    assert.deepEqual(
      formatSecretData({ ...content, ...stored, servingCertificate: stored.servingCertificate.keyPair }),
      formatSecretData(content),
    );
  });

  it('reports missing names, for any form of an IP address', () => {
    const requiredNames = ['new.apps.svc', 'x.apps.svc', '0:0:0:0:0:0:0:1', '10.0.0.1', '127.0.0.1'];
    const { servingCertificate } = parseStored(formatSecretData(content), requiredNames);
    assert.deepEqual(servingCertificate?.missingNames, ['new.apps.svc', 'x.apps.svc', '10.0.0.1']);
  });

  it('reports which of its CAs signed the certificate', async () => {
    const ofOther = parseStored(
      formatSecretData({ ...content, servingCertificate: await issueTestServingCertificate(other, now) }),
      [],
    );
    assert.equal(ofOther.servingCertificate?.issuerId, ofOther.caCertificates[1]?.id);
    const ofNone = parseStored(formatSecretData({ ...content, caCertificates: [other] }), []);
    assert.equal(ofNone.servingCertificate?.issuerId, undefined);
  });

  it('reports what is wrong with it, and never throws', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const notRsa = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    assert.deepEqual(problemsWith({ caCertificates: [] }), ['ca-missing', undefined]);
    assert.deepEqual(problemsWith({ caCertificates: [servingCertificate] }), ['ca-missing', undefined]);
    assert.deepEqual(problemsWith({ caKeyPem: 'garbage' }), ['ca-key-invalid', undefined]);
    assert.deepEqual(problemsWith({ caKeyPem: notRsa }), ['ca-key-invalid', undefined]);
    assert.deepEqual(problemsWith({ caKeyPem: other.keyPem }), ['ca-key-mismatch', undefined]);
    assert.deepEqual(
      problemsWith({ servingCertificate: { certPem: 'x', keyPem: servingCertificate.keyPem } }),
      [undefined, 'serving-certificate-invalid'],
    );
    assert.deepEqual(problemsWith({ servingCertificate: { ...servingCertificate, keyPem: 'x' } }), [
      undefined,
      'serving-certificate-key-invalid',
    ]);
    assert.deepEqual(problemsWith({ servingCertificate: { ...servingCertificate, keyPem: other.keyPem } }), [
      undefined,
      'serving-certificate-key-mismatch',
    ]);
    assert.deepEqual(problemsWith({ servingCertificate: { certPem: '', keyPem: '' } }), [
      undefined,
      'serving-certificate-missing',
    ]);
    assert.equal(parseStored({}, names).caProblem, 'ca-missing');
    assert.equal(
      parseStored({ 'ca.crt': '!', 'tls.crt': '/w==' }, names).servingCertificateProblem,
      'serving-certificate-invalid',
    );
  });
});

describe('a bundle', () => {
  it('is malformed if it contains anything but CAs', () => {
    const text = formatCaBundle([ca, other]);
    assert.equal(parseCaBundle(text).isMalformed, false);
    assert.equal(parseCaBundle(`\n${text}\n`).isMalformed, false);
    for (const addition of [
      'x',
      formatCaBundle([servingCertificate]),
      ca.keyPem,
      '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----',
    ]) {
      const { caCertificates, isMalformed } = parseCaBundle(text + addition);
      assert.deepEqual([caCertificates.length, isMalformed], [2, true]);
    }
    assert.deepEqual(parseCaBundle(''), { caCertificates: [], isMalformed: false });
  });
});
