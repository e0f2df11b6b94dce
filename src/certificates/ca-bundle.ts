import { X509Certificate } from 'node:crypto';
import type { CaFacts, PublishedState } from './certificate-state.ts';
import { backdateMs } from './issue.ts';
import { hasParsableDates } from './key-pair.ts';

/** A CA's certificate; its key is kept elsewhere. */
export interface CaCertificate extends CaFacts {
  readonly certPem: string;
}

export interface CaBundle {
  /** In the order of the text. */
  readonly caCertificates: readonly CaCertificate[];
  /** Whether there is something in it that is no CA. */
  readonly isMalformed: boolean;
}

const pemCertificatePattern = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** Reads CAs in PEM, one after the other, as a caBundle or ca.crt has them. Never throws: what is no CA is left out. */
export function parseCaBundle(pem: string): CaBundle {
  const blocks = pem.match(pemCertificatePattern) ?? [];
  const caCertificates = blocks.map(parseCaCertificate).filter((ca) => ca !== undefined);
  const rest = pem.replaceAll(pemCertificatePattern, '').trim();
  return { caCertificates, isMalformed: rest !== '' || caCertificates.length < blocks.length };
}

/** The text of a bundle. */
export function formatCaBundle(caCertificates: readonly Pick<CaCertificate, 'certPem'>[]): string {
  return caCertificates.map(({ certPem }) => `${certPem.trim()}\n`).join('');
}

/** Reads one CA; undefined where it is none. */
function parseCaCertificate(certPem: string): CaCertificate | undefined {
  try {
    const certificate = new X509Certificate(certPem);
    return certificate.ca && hasParsableDates(certificate)
      ? { id: certificate.fingerprint256, certPem, ...getValidity(certificate) }
      : undefined;
  } catch {
    return undefined;
  }
}

/** The validity of a certificate that `issue.ts` made. */
export function getValidity({
  validFromDate,
  validToDate,
}: Pick<X509Certificate, 'validFromDate' | 'validToDate'>) {
  const validFrom = validFromDate.getTime();
  return { validFrom, issuedAt: validFrom + backdateMs, expiresAt: validToDate.getTime() };
}

/** The caBundles of the webhooks that call us; undefined: there is no configuration. */
export type CaBundles = readonly string[] | undefined | 'unknown';

export interface PublicationSnapshot {
  readonly published: PublishedState;
  /** All CAs that stand in any of the caBundles. */
  readonly caCertificates: readonly CaCertificate[];
}

/** Remembers since when each CA has been seen in all caBundles. */
export class PublicationTracker {
  readonly #publishedSince = new Map<string, number>();

  /**
   * Notes what is published now.
   * @param monotonicMs a clock in ms that is never set
   */
  recordBundles(caBundles: CaBundles, monotonicMs: number): PublicationSnapshot {
    if (caBundles === 'unknown') return { published: 'unknown', caCertificates: [] };
    const bundles = (caBundles ?? []).map(parseCaBundle);
    const caCertificates = bundles.flatMap((bundle) => bundle.caCertificates);
    const everywhere = new Set(caCertificates.map(({ id }) => id));
    for (const bundle of bundles) {
      const ids = new Set(bundle.caCertificates.map(({ id }) => id));
      for (const id of everywhere) if (!ids.has(id)) everywhere.delete(id);
    }
    for (const id of this.#publishedSince.keys()) if (!everywhere.has(id)) this.#publishedSince.delete(id);
    for (const id of everywhere) if (!this.#publishedSince.has(id)) this.#publishedSince.set(id, monotonicMs);
    if (bundles.length === 0) return { published: 'nowhere', caCertificates };
    const facts = bundles.map((bundle) => ({
      ids: bundle.caCertificates.map(({ id }) => id),
      isMalformed: bundle.isMalformed,
    }));
    const forMs = new Map([...this.#publishedSince].map(([id, since]) => [id, monotonicMs - since]));
    return { published: { bundles: facts, forMs }, caCertificates };
  }
}
