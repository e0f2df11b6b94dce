// Issues CAs, serving certificates and client certificates for tests.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import forge from 'node-forge';
import {
  issueCaCertificate,
  issueServingCertificate,
  type ServingCertificateRequest,
} from '../../src/certificates/issue.ts';
import type { PemKeyPair } from '../../src/certificates/key-pair.ts';

export const dayMs = 86_400_000;

/** Issues a CA. Slow because of its key, so share it within a test file. */
export function issueTestCa(now: number): Promise<PemKeyPair> {
  return issueCaCertificate({ commonName: 'test CA', now, validForMs: 10 * dayMs });
}

/** Issues a serving certificate, by default for `web.apps.svc` and 127.0.0.1 and valid for one day. */
export function issueTestServingCertificate(
  ca: PemKeyPair,
  now: number,
  options: Partial<ServingCertificateRequest> = {},
): Promise<PemKeyPair> {
  return issueServingCertificate({
    ca,
    dnsNames: ['web.apps.svc'],
    ipAddresses: ['127.0.0.1'],
    now,
    validForMs: dayMs,
    ...options,
  });
}

/** Issues a client certificate like that of an API server, valid for one day. */
export function issueTestClientCertificate(
  ca: PemKeyPair,
  commonName: string,
  dnsNames: readonly string[] = [],
): PemKeyPair {
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
  certificate.setIssuer(forge.pki.certificateFromPem(ca.certPem).subject.attributes);
  certificate.setExtensions([
    { name: 'extKeyUsage', clientAuth: true },
    ...(dnsNames.length > 0
      ? [{ name: 'subjectAltName', altNames: dnsNames.map((value) => ({ type: 2, value })) }]
      : []),
  ]);
  certificate.sign(forge.pki.privateKeyFromPem(ca.keyPem), forge.md.sha256.create());
  return { certPem: forge.pki.certificateToPem(certificate), keyPem: privateKey };
}
