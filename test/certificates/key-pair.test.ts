// Tests which certificate and key are accepted as a pair, and that errors show no key material.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { CertificateError } from '../../src/certificates/certificate-error.ts';
import { getValidityState, parseKeyPair } from '../../src/certificates/key-pair.ts';
import { dayMs, issueTestCa, issueTestServingCertificate } from './test-certificates.ts';

const now = Date.now();
const ca = await issueTestCa(now);
const good = await issueTestServingCertificate(ca, now);
const other = await issueTestServingCertificate(ca, now);

describe('parseKeyPair', () => {
  it('parses the first certificate of a chain', () => {
    const keyPair = parseKeyPair(good.certPem + ca.certPem, good.keyPem);
    assert.deepEqual(keyPair.dnsNames, ['web.apps.svc']);
    assert.match(keyPair.fingerprint, /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  });

  it('parses all names', async () => {
    const dnsNames = ['a.b.svc', '*.c.example'];
    const ipAddresses = ['10.0.0.1', '::1'];
    const { certPem, keyPem } = await issueTestServingCertificate(ca, now, { dnsNames, ipAddresses });
    const keyPair = parseKeyPair(certPem, keyPem);
    assert.deepEqual(keyPair.dnsNames, dnsNames);
    assert.deepEqual(keyPair.ipAddresses, ['10.0.0.1', '0:0:0:0:0:0:0:1']);
  });

  const cut = (pem: string) => `${pem.slice(0, pem.length / 2)}\n`;
  const weak = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const encrypted = weak
    .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'p' })
    .toString();
  const broken: [string, string, string, string][] = [
    ['another key', good.certPem, other.keyPem, 'key-mismatch'],
    ['half a certificate', cut(good.certPem), good.keyPem, 'invalid-certificate'],
    ['no certificate', '', good.keyPem, 'invalid-certificate'],
    ['half a chain', good.certPem + cut(ca.certPem), good.keyPem, 'invalid-certificate'],
    ['half a key', good.certPem, cut(good.keyPem), 'invalid-key'],
    ['no key', good.certPem, '', 'invalid-key'],
    ['an encrypted key', good.certPem, encrypted, 'invalid-key'],
    ['the two exchanged', good.keyPem, good.certPem, 'invalid-certificate'],
  ];
  for (const [what, certPem, keyPem, code] of broken) {
    it(`rejects ${what} with ${code}, without key material`, () => {
      assert.throws(
        () => parseKeyPair(certPem, keyPem),
        (error) => {
          assert.ok(error instanceof CertificateError);
          assert.equal(error.code, code);
          assert.doesNotMatch(inspect(error, { depth: 9 }), /PRIVATE KEY|MII/);
          return true;
        },
      );
    });
  }
});

describe('getValidityState', () => {
  const keyPair = { notBefore: 1000, notAfter: 2000 };
  const cases = { 999: 'not-yet-valid', 1000: 'valid', 2000: 'valid', 2001: 'expired' };
  for (const [at, state] of Object.entries(cases)) {
    it(`at ${at}: ${state}`, () => assert.equal(getValidityState(keyPair, Number(at)), state));
  }

  it('of a real key pair', () => {
    const read = parseKeyPair(good.certPem, good.keyPem);
    assert.equal(getValidityState(read, now), 'valid');
    assert.equal(getValidityState(read, now + dayMs), 'expired');
    assert.equal(getValidityState(read, now - dayMs), 'not-yet-valid');
  });
});
