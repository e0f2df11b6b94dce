import { generateKeyPairSync, randomBytes } from 'node:crypto';
import forge from 'node-forge';
import type { PemPair } from '../../src/certificates/key-pair.ts';

/** A client certificate of an authority, one day long, as an API server has it. */
export function testClient(
  authority: PemPair,
  commonName: string,
  dnsNames: readonly string[] = [],
): PemPair {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey);
  certificate.serialNumber = `01${randomBytes(8).toString('hex')}`;
  certificate.validity.notBefore = new Date(Date.now() - 60_000);
  certificate.validity.notAfter = new Date(Date.now() + 86_400_000);
  certificate.setSubject([{ name: 'commonName', value: commonName }]);
  certificate.setIssuer(forge.pki.certificateFromPem(authority.certPem).subject.attributes);
  certificate.setExtensions([
    { name: 'extKeyUsage', clientAuth: true },
    ...(dnsNames.length > 0
      ? [{ name: 'subjectAltName', altNames: dnsNames.map((value) => ({ type: 2, value })) }]
      : []),
  ]);
  certificate.sign(forge.pki.privateKeyFromPem(authority.keyPem), forge.md.sha256.create());
  return { certPem: forge.pki.certificateToPem(certificate), keyPem: privateKey };
}
