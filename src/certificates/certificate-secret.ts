import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { type CaCertificate, formatCaBundle, getValidity, parseCaBundle } from './ca-bundle.ts';
import { CertificateError } from './certificate-error.ts';
import type { RenewalReason, ServingCertificateFacts, StoredCertificateFacts } from './certificate-state.ts';
import { type KeyPair, type PemKeyPair, parseKeyPair } from './key-pair.ts';

/** What the Secret holds, as it is to be written. */
export interface SecretContent {
  /** Newest first. */
  readonly caCertificates: readonly Pick<CaCertificate, 'certPem'>[];
  /** Of the newest; the keys of the others are gone. */
  readonly caKeyPem: string;
  readonly servingCertificate: PemKeyPair;
}

/** A serving certificate with its key. */
export interface ServingCertificate extends ServingCertificateFacts {
  readonly keyPair: KeyPair;
}

/** What the Secret holds, as it was found. */
export interface StoredCertificates extends StoredCertificateFacts {
  readonly caCertificates: readonly CaCertificate[];
  readonly caKeyPem: string;
  readonly servingCertificate: ServingCertificate | undefined;
}

/** The keys of the Secret: those of a kubernetes.io/tls, and the CA's. */
const secretKeys = {
  caCertificates: 'ca.crt',
  caKey: 'ca.key',
  servingCertificate: 'tls.crt',
  servingCertificateKey: 'tls.key',
} as const;

/** Whether it can be one of ours: nobody else keeps a CA's key beside the certificate. */
export function hasCaKey(data: Readonly<Record<string, string>>): boolean {
  return Object.hasOwn(data, secretKeys.caKey);
}

/** The `data` of a Secret, in base64. */
export function formatSecretData({
  caCertificates,
  caKeyPem,
  servingCertificate,
}: SecretContent): Record<string, string> {
  return {
    [secretKeys.caCertificates]: encodeBase64(formatCaBundle(caCertificates)),
    [secretKeys.caKey]: encodeBase64(caKeyPem),
    [secretKeys.servingCertificate]: encodeBase64(servingCertificate.certPem),
    [secretKeys.servingCertificateKey]: encodeBase64(servingCertificate.keyPem),
  };
}

/**
 * Reads the `data` of a Secret. Never throws: what is wrong with it is part of the result.
 * @param names that the certificate should be for: DNS names and IP addresses
 */
export function parseStored(
  data: Readonly<Record<string, string>>,
  names: readonly string[],
): StoredCertificates {
  const text = (key: string) => Buffer.from(data[key] ?? '', 'base64').toString();
  const { caCertificates } = parseCaBundle(text(secretKeys.caCertificates));
  const caKeyPem = text(secretKeys.caKey);
  return {
    caCertificates,
    caKeyPem,
    caProblem: caProblem(caCertificates[0], caKeyPem),
    ...parseServingCertificate(
      text(secretKeys.servingCertificate),
      text(secretKeys.servingCertificateKey),
      caCertificates,
      names,
    ),
  };
}

function caProblem(newest: CaCertificate | undefined, keyPem: string): RenewalReason | undefined {
  if (newest === undefined) return 'authority-missing';
  try {
    const key = createPrivateKey(keyPem);
    if (key.asymmetricKeyType !== 'rsa') return 'authority-key-bad';
    return new X509Certificate(newest.certPem).checkPrivateKey(key) ? undefined : 'authority-key-mismatch';
  } catch {
    return 'authority-key-bad';
  }
}

const servingCertificateProblems: Readonly<Record<string, RenewalReason>> = {
  'bad-certificate': 'leaf-bad',
  'bad-key': 'leaf-key-bad',
  'key-mismatch': 'leaf-key-mismatch',
};

function parseServingCertificate(
  certPem: string,
  keyPem: string,
  caCertificates: readonly CaCertificate[],
  names: readonly string[],
): Pick<StoredCertificates, 'servingCertificate' | 'servingCertificateProblem'> {
  if (certPem === '' && keyPem === '')
    return { servingCertificate: undefined, servingCertificateProblem: 'leaf-missing' };
  try {
    const keyPair = parseKeyPair(certPem, keyPem);
    return {
      servingCertificate: getServingCertificate(keyPair, caCertificates, names),
      servingCertificateProblem: undefined,
    };
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error; // Only a bug of ours: let it be seen.
    return {
      servingCertificate: undefined,
      servingCertificateProblem: servingCertificateProblems[error.code] ?? 'leaf-bad',
    };
  }
}

function getServingCertificate(
  keyPair: KeyPair,
  caCertificates: readonly CaCertificate[],
  names: readonly string[],
): ServingCertificate {
  const certificate = new X509Certificate(keyPair.certPem);
  const signer = caCertificates.find(({ certPem }) => {
    const ca = new X509Certificate(certPem);
    // checkIssued is false, too, for a public key that cannot be decoded, and that `publicKey` throws at
    return certificate.checkIssued(ca) && certificate.verify(ca.publicKey);
  });
  // An address has many forms; a DNS name is issued as it is wanted.
  const covers = (name: string) =>
    isIP(name) === 0 ? keyPair.dnsNames.includes(name) : certificate.checkIP(name) !== undefined;
  return {
    id: keyPair.fingerprint,
    issuerId: signer?.id,
    missingNames: names.filter((name) => !covers(name)),
    keyPair,
    ...getValidity(certificate),
  };
}

function encodeBase64(text: string): string {
  return Buffer.from(text).toString('base64');
}
