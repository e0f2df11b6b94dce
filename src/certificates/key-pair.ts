// Parses and validates a certificate with its private key.
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { CertificateError } from './certificate-error.ts';

/** A certificate with its private key in PEM, not validated. */
export interface PemKeyPair {
  /** The serving certificate, optionally followed by its chain. */
  readonly certPem: string;
  readonly keyPem: string;
}

/** A validated key pair, and the properties of its serving certificate. */
export interface KeyPair extends PemKeyPair {
  /** First moment of validity, ms since the epoch. */
  readonly notBefore: number;
  /** Last moment of validity, ms since the epoch. */
  readonly notAfter: number;
  /** SHA-256 fingerprint of the serving certificate, as `AB:CD:…`. Safe to log. */
  readonly fingerprint: string;
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly string[];
}

export type ValidityState = 'valid' | 'expired' | 'not-yet-valid';

/**
 * Parses a certificate and its key and validates that TLS can serve them. An expired certificate is not an error here; see
 * {@link getValidityState}.
 * @throws {CertificateError} with code `invalid-certificate`, `invalid-key` or `key-mismatch`
 */
export function parseKeyPair(certPem: string, keyPem: string): KeyPair {
  const servingCertificate = parseCertificate(certPem);
  const key = parsePrivateKey(keyPem);
  if (!servingCertificate.checkPrivateKey(key)) {
    throw new CertificateError('key-mismatch', 'the private key does not belong to the certificate');
  }
  validateServable(certPem, keyPem);
  if (!hasParsableDates(servingCertificate)) {
    throw new CertificateError('invalid-certificate', 'the validity of the certificate cannot be read');
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
 * Whether both dates of a certificate could be parsed. For a date that OpenSSL cannot parse, Node returns the string
 * `Bad time value` and an arbitrary Date (observed with 24.21): one in the far future, or one that cannot be formatted.
 */
export function hasParsableDates({
  validFrom,
  validTo,
}: Pick<X509Certificate, 'validFrom' | 'validTo'>): boolean {
  return [validFrom, validTo].every((date) => Number.isFinite(Date.parse(date)));
}

/** Compares `now` (ms since the epoch) with a validity, whose two ends are included (RFC 5280, 4.1.2.5). */
export function getValidityState(
  keyPair: Pick<KeyPair, 'notBefore' | 'notAfter'>,
  now: number,
): ValidityState {
  if (now < keyPair.notBefore) {
    return 'not-yet-valid';
  }
  return now > keyPair.notAfter ? 'expired' : 'valid';
}

function parseCertificate(certPem: string): X509Certificate {
  try {
    return new X509Certificate(certPem);
  } catch (cause) {
    throw new CertificateError(
      'invalid-certificate',
      'the certificate is not X.509 in PEM',
      undefined,
      cause,
    );
  }
}

// The following errors have no cause, so that OpenSSL's messages about a key do not reach the log.
function parsePrivateKey(keyPem: string): KeyObject {
  try {
    return createPrivateKey(keyPem);
  } catch {
    throw new CertificateError('invalid-key', 'the key is not an unencrypted private key in PEM');
  }
}

// X509Certificate parses only the first certificate. The server loads the whole chain and rejects short keys.
function validateServable(certPem: string, keyPem: string): void {
  try {
    createSecureContext({ cert: certPem, key: keyPem });
  } catch {
    throw new CertificateError(
      'invalid-certificate',
      'TLS rejects the certificate: invalid chain or weak key',
    );
  }
}

/**
 * Returns the names of one kind in a subjectAltName as Node formats it: `DNS:a, IP Address:::1, DNS:"quoted"`. Node quotes
 * names that contain separators (CVE-2021-44532).
 */
export function parseAlternativeNames(text: string, kind: 'DNS' | 'IP Address'): string[] {
  const found = text.matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)/g);
  return [...found].filter((match) => match[1] === kind).map((match) => match[2] ?? '');
}
