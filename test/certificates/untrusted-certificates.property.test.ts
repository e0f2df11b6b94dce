// Tests that no content of the TLS Secret or the caBundle makes the parsers throw.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { PublicationTracker, parseCaBundle } from '../../src/certificates/ca-bundle.ts';
import { CertificateError } from '../../src/certificates/certificate-error.ts';
import { formatSecretData, parseStored } from '../../src/certificates/certificate-secret.ts';
import { isUnmanaged } from '../../src/certificates/certificate-store.ts';
import { parseKeyPair } from '../../src/certificates/key-pair.ts';
import { parseSecret } from '../../src/kube/secrets.ts';
import { damaged } from '../support/untrusted-json.ts';
import { issueTestCa, issueTestServingCertificate } from './test-certificates.ts';

const now = Date.now();
const issuer = await issueTestCa(now);
const servingCertificate = await issueTestServingCertificate(issuer, now);
const data = formatSecretData({ caCertificates: [issuer], caKeyPem: issuer.keyPem, servingCertificate });
const names = ['web.apps.svc', '127.0.0.1'];

/** OIDs of keys, signature algorithms and subject names in DER. */
const oids = ['2a864886f70d010101', '2a864886f70d01010b', '550403'].map((hex) => Buffer.from(hex, 'hex'));

/** A certificate or key with changed bytes, at random places or at the end of an OID. */
function damagedPem(pem: string): fc.Arbitrary<string> {
  const [begin = '', end = ''] = pem.trim().split(/\n[^-]*\n/);
  const der = Buffer.from(pem.replace(/-----[^-]*-----/g, ''), 'base64');
  const places = oids.flatMap((oid) => (der.includes(oid) ? [der.indexOf(oid) + oid.length - 1] : []));
  const place = fc.oneof(fc.nat(der.length - 1), fc.constantFrom(...places, 0));
  const changes = fc.array(fc.tuple(place, fc.nat(255)), { maxLength: 3 });
  return changes.map((changed) => {
    const bytes = Buffer.from(der);
    for (const [at, byte] of changed) {
      bytes[at] = byte;
    }
    return `${begin}\n${bytes.toString('base64')}\n${end}\n`;
  });
}

/** The certificate with a validity from the year `A6`. OpenSSL parses it, and Node returns an arbitrary date. */
function withoutDate(pem: string): string {
  const der = Buffer.from(pem.replace(/-----[^-]*-----/g, ''), 'base64');
  // UTCTime, the first of the two: tag, length 13, YYMMDDHHMMSSZ
  der[der.indexOf(Buffer.from([0x17, 13])) + 2] = 0x41;
  return `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`;
}

/** The certificate with a public key of an unknown algorithm. OpenSSL parses it nevertheless. */
function withoutKey(pem: string): string {
  const der = Buffer.from(pem.replace(/-----[^-]*-----/g, ''), 'base64');
  const rsaEncryption = Buffer.from('2a864886f70d010101', 'hex');
  der[der.indexOf(rsaEncryption) + rsaEncryption.length - 1] = 0x55;
  return `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`;
}

const base64 = (text: string) => Buffer.from(text).toString('base64');

describe('any content of the TLS Secret and the caBundle', () => {
  it('is parsed without a throw if certificates and keys are damaged', () => {
    const check = (ca: string, caKey: string, cert: string, key: string) => {
      const stored = parseStored(
        { 'ca.crt': base64(ca), 'ca.key': base64(caKey), 'tls.crt': base64(cert), 'tls.key': base64(key) },
        names,
      );
      assert.ok(stored.servingCertificate !== undefined || stored.servingCertificateProblem !== undefined);
      for (const { validFrom, expiresAt } of [
        ...stored.caCertificates,
        ...(stored.servingCertificate ? [stored.servingCertificate] : []),
      ]) {
        assert.ok(
          Number.isFinite(validFrom) && Number.isFinite(expiresAt),
          'dates can be compared and written',
        );
      }
      new PublicationTracker().recordBundles([ca, cert], 0);
      try {
        parseKeyPair(cert, key);
      } catch (error) {
        assert.ok(error instanceof CertificateError, `${error}`);
      }
    };
    for (const [ca, cert] of [
      [withoutDate(issuer.certPem), servingCertificate.certPem],
      [issuer.certPem, withoutDate(servingCertificate.certPem)],
    ] as const) {
      check(ca, issuer.keyPem, cert, servingCertificate.keyPem);
    }
    assert.deepEqual(parseCaBundle(withoutDate(issuer.certPem)).caCertificates, []);
    const keyless = withoutKey(issuer.certPem);
    assert.throws(() => new X509Certificate(keyless).publicKey);
    check(keyless, issuer.keyPem, servingCertificate.certPem, servingCertificate.keyPem);
    assert.throws(() => parseKeyPair(withoutDate(servingCertificate.certPem), servingCertificate.keyPem), {
      code: 'invalid-certificate',
    });
    const maybeDamaged = (pem: string) => fc.oneof(fc.constant(pem), damagedPem(pem));
    const parts = fc.tuple(
      maybeDamaged(issuer.certPem),
      maybeDamaged(issuer.keyPem),
      maybeDamaged(servingCertificate.certPem),
      maybeDamaged(servingCertificate.keyPem),
    );
    fc.assert(
      fc.property(parts, (drawn) => check(...drawn)),
      { numRuns: 300 },
    );
  });

  it('is parsed without a throw if the Secret is damaged', () => {
    const check = (object: unknown) => {
      const secret = parseSecret(object);
      if (secret !== undefined) {
        isUnmanaged(secret);
        parseStored(secret.data ?? {}, names);
      }
    };
    const metadata = { namespace: 'a', name: 'tls', labels: {} };
    check({ metadata, data: { ...data, 'ca.crt': 7, 'tls.key': { toString: 1 } } });
    fc.assert(fc.property(damaged({ metadata, data }), check), { numRuns: 200 });
  });
});
