import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { CertificateError } from './certificate-error.ts';

/** A certificate with its private key, as PEM, before anybody looked at it. */
export type PemKeyPair = {
  /** The leaf first; the chain above it may follow. */
  readonly certPem: string;
  readonly keyPem: string;
};

/** A pair that fits together, and what its leaf says. */
export type KeyPair = PemKeyPair & {
  /** First moment of validity, ms since the epoch. */
  readonly notBefore: number;
  /** Last moment of validity, ms since the epoch. */
  readonly notAfter: number;
  /** SHA-256 of the leaf, in the usual `AB:CD:…` form. Safe to log. */
  readonly fingerprint: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
};

export type ValidityState = 'valid' | 'expired' | 'not-yet-valid';

/**
 * Parses a certificate and its key and checks that TLS can serve them together. Validity in time is not an
 * error here: ask getValidityState.
 * @throws {CertificateError} bad-certificate, bad-key or key-mismatch
 */
export function parseKeyPair(certPem: string, keyPem: string): KeyPair {
  const servingCertificate = parseCertificate(certPem);
  const key = parsePrivateKey(keyPem);
  if (!servingCertificate.checkPrivateKey(key)) {
    throw new CertificateError('key-mismatch', 'the private key does not belong to the certificate');
  }
  validateServable(certPem, keyPem);
  if (!hasParsableDates(servingCertificate)) {
    throw new CertificateError('bad-certificate', 'the validity of the certificate cannot be read');
  }
  const names = servingCertificate.subjectAltName ?? '';
  return {
    certPem,
    keyPem,
    notBefore: servingCertificate.validFromDate.getTime(),
    notAfter: servingCertificate.validToDate.getTime(),
    fingerprint: servingCertificate.fingerprint256,
    dnsNames: parseAlternativeNames(names, 'DNS'),
    ipAddresses: parseAlternativeNames(names, 'IP Address'),
  };
}

/**
 * Whether both dates of a certificate could be read. Of a date that OpenSSL cannot read, node gives the text
 * `Bad time value` and an arbitrary Date (seen with 24.21): one that is valid for ever, or that cannot be formatted.
 */
export function hasParsableDates({
  validFrom,
  validTo,
}: Pick<X509Certificate, 'validFrom' | 'validTo'>): boolean {
  return [validFrom, validTo].every((date) => Number.isFinite(Date.parse(date)));
}

/** Where `now` (ms since the epoch) stands in a validity; both of its ends are inside (RFC 5280, 4.1.2.5). */
export function getValidityState(
  keyPair: Pick<KeyPair, 'notBefore' | 'notAfter'>,
  now: number,
): ValidityState {
  if (now < keyPair.notBefore) return 'not-yet-valid';
  return now > keyPair.notAfter ? 'expired' : 'valid';
}

function parseCertificate(certPem: string): X509Certificate {
  try {
    return new X509Certificate(certPem);
  } catch (cause) {
    throw new CertificateError('bad-certificate', 'the certificate is not X.509 in PEM', undefined, cause);
  }
}

// No cause from here on: what OpenSSL says about a key it could not read stays out of logs.
function parsePrivateKey(keyPem: string): KeyObject {
  try {
    return createPrivateKey(keyPem);
  } catch {
    throw new CertificateError('bad-key', 'the key is not an unencrypted private key in PEM');
  }
}

// X509Certificate looks at the first certificate only. The server will load the whole chain, and refuses short keys.
function validateServable(certPem: string, keyPem: string): void {
  try {
    createSecureContext({ cert: certPem, key: keyPem });
  } catch {
    throw new CertificateError('bad-certificate', 'TLS refuses the certificate: broken chain or weak key');
  }
}

// Node gives `DNS:a, IP Address:::1, DNS:"quoted"`; it quotes what could be taken for a separator (CVE-2021-44532).
export function parseAlternativeNames(text: string, kind: 'DNS' | 'IP Address'): string[] {
  const found = text.matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)/g);
  return [...found].filter((match) => match[1] === kind).map((match) => match[2] ?? '');
}
