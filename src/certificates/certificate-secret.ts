import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { type Authority, bundleOf, lifeOf, readBundle } from './ca-bundle.ts';
import { CertificateError } from './certificate-error.ts';
import type { LeafFacts, Reason, StoredFacts } from './certificate-state.ts';
import { type CertificatePair, type PemPair, readPair } from './key-pair.ts';

/** What the Secret holds, as it is to be written. */
export interface Content {
  /** Newest first. */
  readonly authorities: readonly Pick<Authority, 'certPem'>[];
  /** Of the newest; the keys of the others are gone. */
  readonly authorityKeyPem: string;
  readonly leaf: PemPair;
}

/** A serving certificate with its key. */
export interface Leaf extends LeafFacts {
  readonly pair: CertificatePair;
}

/** What the Secret holds, as it was found. */
export interface Stored extends StoredFacts {
  readonly authorities: readonly Authority[];
  readonly authorityKeyPem: string;
  readonly leaf: Leaf | undefined;
}

/** The keys of the Secret: those of a kubernetes.io/tls, and the CA's. */
const keys = { authorities: 'ca.crt', authorityKey: 'ca.key', leaf: 'tls.crt', leafKey: 'tls.key' } as const;

/** Whether it can be one of ours: nobody else keeps a CA's key beside the certificate. */
export function holdsAuthorityKey(data: Readonly<Record<string, string>>): boolean {
  return Object.hasOwn(data, keys.authorityKey);
}

/** The `data` of a Secret, in base64. */
export function dataOf({ authorities, authorityKeyPem, leaf }: Content): Record<string, string> {
  return {
    [keys.authorities]: base64(bundleOf(authorities)),
    [keys.authorityKey]: base64(authorityKeyPem),
    [keys.leaf]: base64(leaf.certPem),
    [keys.leafKey]: base64(leaf.keyPem),
  };
}

/**
 * Reads the `data` of a Secret. Never throws: what is wrong with it is part of the result.
 * @param names that the certificate should be for: DNS names and IP addresses
 */
export function readStored(data: Readonly<Record<string, string>>, names: readonly string[]): Stored {
  const text = (key: string) => Buffer.from(data[key] ?? '', 'base64').toString();
  const { authorities } = readBundle(text(keys.authorities));
  const authorityKeyPem = text(keys.authorityKey);
  return {
    authorities,
    authorityKeyPem,
    authorityProblem: authorityProblem(authorities[0], authorityKeyPem),
    ...readLeaf(text(keys.leaf), text(keys.leafKey), authorities, names),
  };
}

function authorityProblem(newest: Authority | undefined, keyPem: string): Reason | undefined {
  if (newest === undefined) return 'authority-missing';
  try {
    const key = createPrivateKey(keyPem);
    if (key.asymmetricKeyType !== 'rsa') return 'authority-key-bad';
    return new X509Certificate(newest.certPem).checkPrivateKey(key) ? undefined : 'authority-key-mismatch';
  } catch {
    return 'authority-key-bad';
  }
}

const leafProblems: Readonly<Record<string, Reason>> = {
  'bad-certificate': 'leaf-bad',
  'bad-key': 'leaf-key-bad',
  'key-mismatch': 'leaf-key-mismatch',
};

function readLeaf(
  certPem: string,
  keyPem: string,
  authorities: readonly Authority[],
  names: readonly string[],
): Pick<Stored, 'leaf' | 'leafProblem'> {
  if (certPem === '' && keyPem === '') return { leaf: undefined, leafProblem: 'leaf-missing' };
  try {
    const pair = readPair(certPem, keyPem);
    return { leaf: leafOf(pair, authorities, names), leafProblem: undefined };
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error; // Only a bug of ours: let it be seen.
    return { leaf: undefined, leafProblem: leafProblems[error.code] ?? 'leaf-bad' };
  }
}

function leafOf(pair: CertificatePair, authorities: readonly Authority[], names: readonly string[]): Leaf {
  const certificate = new X509Certificate(pair.certPem);
  const signer = authorities.find(({ certPem }) => {
    const authority = new X509Certificate(certPem);
    // checkIssued is false, too, for a public key that cannot be decoded, and that `publicKey` throws at
    return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
  });
  // An address has many forms; a DNS name is issued as it is wanted.
  const covers = (name: string) =>
    isIP(name) === 0 ? pair.dnsNames.includes(name) : certificate.checkIP(name) !== undefined;
  return {
    id: pair.fingerprint,
    authority: signer?.id,
    lacks: names.filter((name) => !covers(name)),
    pair,
    ...lifeOf(certificate),
  };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
