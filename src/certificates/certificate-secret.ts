// Parses and formats the data of the Secret that stores the CA and the serving certificate.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { type CaCertificate, formatCaBundle, getValidity, parseCaBundle } from './ca-bundle.ts';
import { CertificateError } from './certificate-error.ts';
import type { RenewalReason, ServingCertificateFacts, StoredCertificateFacts } from './certificate-state.ts';
import { type KeyPair, type PemKeyPair, parseKeyPair } from './key-pair.ts';

/** The content of the Secret to write. */
export interface SecretContent {
  /** Newest first. */
  readonly caCertificates: readonly Pick<CaCertificate, 'certPem'>[];
  /** The key of the newest CA. The keys of older CAs are not kept. */
  readonly caKeyPem: string;
  readonly servingCertificate: PemKeyPair;
}

/** A serving certificate with its key. */
export interface ServingCertificate extends ServingCertificateFacts {
  readonly keyPair: KeyPair;
}

/** The parsed content of the Secret. */
export interface StoredCertificates extends StoredCertificateFacts {
  readonly caCertificates: readonly CaCertificate[];
  readonly caKeyPem: string;
  readonly servingCertificate: ServingCertificate | undefined;
}

/** Keys of the Secret: those of type `kubernetes.io/tls`, and one for the CA's private key. */
const secretKeys = {
  caCertificates: 'ca.crt',
  caKey: 'ca.key',
  servingCertificate: 'tls.crt',
  servingCertificateKey: 'tls.key',
} as const;

/** Whether the Secret contains a CA's private key, which other TLS Secrets do not. */
export function hasCaKey(data: Readonly<Record<string, string>>): boolean {
  return Object.hasOwn(data, secretKeys.caKey);
}

/** Returns the `data` of the Secret, base64-encoded. */
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
 * Parses the `data` of the Secret. Never throws; problems are part of the result.
 * @param names DNS names and IP addresses that the certificate should cover
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
    caProblem: findCaProblem(caCertificates[0], caKeyPem),
    ...parseServingCertificate(
      text(secretKeys.servingCertificate),
      text(secretKeys.servingCertificateKey),
      caCertificates,
      names,
    ),
  };
}

function findCaProblem(newest: CaCertificate | undefined, keyPem: string): RenewalReason | undefined {
  if (newest === undefined) {
    return 'ca-missing';
  }
  try {
    const key = createPrivateKey(keyPem);
    if (key.asymmetricKeyType !== 'rsa') {
      return 'ca-key-invalid';
    }
    return new X509Certificate(newest.certPem).checkPrivateKey(key) ? undefined : 'ca-key-mismatch';
  } catch {
    return 'ca-key-invalid';
  }
}

const servingCertificateProblems: Readonly<Record<string, RenewalReason>> = {
  'invalid-certificate': 'serving-certificate-invalid',
  'invalid-key': 'serving-certificate-key-invalid',
  'key-mismatch': 'serving-certificate-key-mismatch',
};

function parseServingCertificate(
  certPem: string,
  keyPem: string,
  caCertificates: readonly CaCertificate[],
  names: readonly string[],
): Pick<StoredCertificates, 'servingCertificate' | 'servingCertificateProblem'> {
  if (certPem === '' && keyPem === '') {
    return { servingCertificate: undefined, servingCertificateProblem: 'serving-certificate-missing' };
  }
  try {
    const keyPair = parseKeyPair(certPem, keyPem);
    return {
      servingCertificate: getServingCertificate(keyPair, caCertificates, names),
      servingCertificateProblem: undefined,
    };
  } catch (error) {
    if (!(error instanceof CertificateError)) {
      throw error; // A bug in this program.
    }
    return {
      servingCertificate: undefined,
      servingCertificateProblem: servingCertificateProblems[error.code] ?? 'serving-certificate-invalid',
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
    // `publicKey` throws for a key that cannot be decoded; `checkIssued` is false in that case and is evaluated first.
    return certificate.checkIssued(ca) && certificate.verify(ca.publicKey);
  });
  // An IP address can be written in several forms, so checkIP compares it. DNS names are issued exactly as configured.
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
