import { X509Certificate } from 'node:crypto';
import type { AuthorityFacts } from './facts.ts';
import { BACKDATE_MS } from './issue.ts';
import { hasReadableDates } from './pair.ts';

/** A CA's certificate; its key is kept elsewhere. */
export interface Authority extends AuthorityFacts {
  readonly certPem: string;
}

export interface Bundle {
  /** In the order of the text. */
  readonly authorities: readonly Authority[];
  /** Whether there is something in it that is no CA. */
  readonly garbled: boolean;
}

const BLOCK = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** Reads CAs in PEM, one after the other, as a caBundle or ca.crt has them. Never throws: what is no CA is left out. */
export function readBundle(pem: string): Bundle {
  const blocks = pem.match(BLOCK) ?? [];
  const authorities = blocks.map(readAuthority).filter((authority) => authority !== undefined);
  const rest = pem.replaceAll(BLOCK, '').trim();
  return { authorities, garbled: rest !== '' || authorities.length < blocks.length };
}

/** The text of a bundle. */
export function bundleOf(authorities: readonly Pick<Authority, 'certPem'>[]): string {
  return authorities.map(({ certPem }) => `${certPem.trim()}\n`).join('');
}

/** Reads one CA; undefined where it is none. */
function readAuthority(certPem: string): Authority | undefined {
  try {
    const certificate = new X509Certificate(certPem);
    return certificate.ca && hasReadableDates(certificate)
      ? { id: certificate.fingerprint256, certPem, ...lifeOf(certificate) }
      : undefined;
  } catch {
    return undefined;
  }
}

/** The validity of a certificate that `issue.ts` made. */
export function lifeOf({
  validFromDate,
  validToDate,
}: Pick<X509Certificate, 'validFromDate' | 'validToDate'>) {
  const beginsAt = validFromDate.getTime();
  return { beginsAt, issuedAt: beginsAt + BACKDATE_MS, endsAt: validToDate.getTime() };
}
