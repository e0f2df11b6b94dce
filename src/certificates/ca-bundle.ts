// Parses and formats CA bundles, and tracks since when each CA has been published in all webhooks.
import { X509Certificate } from 'node:crypto';
import type { CaFacts, PublishedState } from './certificate-state.ts';
import { backdateMs } from './issue.ts';
import { hasParsableDates } from './key-pair.ts';

/** A CA certificate without its key. */
export interface CaCertificate extends CaFacts {
  readonly certPem: string;
}

/** The CAs of a `caBundle` or a `ca.crt`. */
export interface CaBundle {
  /** In the order of the text. */
  readonly caCertificates: readonly CaCertificate[];
  /** Whether the text contains anything but CA certificates. */
  readonly isMalformed: boolean;
}

const pemCertificatePattern = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** The certificates in a text in PEM. */
export function splitPem(pem: string): readonly string[] {
  return pem.match(pemCertificatePattern) ?? [];
}

/** Parses concatenated CA certificates in PEM. Never throws; anything that is not a CA certificate is skipped. */
export function parseCaBundle(pem: string): CaBundle {
  const blocks = splitPem(pem);
  const caCertificates = blocks.map(parseCaCertificate).filter((ca) => ca !== undefined);
  const rest = pem.replaceAll(pemCertificatePattern, '').trim();
  return { caCertificates, isMalformed: rest !== '' || caCertificates.length < blocks.length };
}

/** Concatenates CA certificates in PEM. */
export function formatCaBundle(caCertificates: readonly Pick<CaCertificate, 'certPem'>[]): string {
  return caCertificates.map(({ certPem }) => `${certPem.trim()}\n`).join('');
}

/** Parses one CA certificate. Returns undefined if it is not one. */
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

/** Returns the validity of a certificate issued by `issue.ts`, which backdates `notBefore`. */
export function getValidity({
  validFromDate,
  validToDate,
}: Pick<X509Certificate, 'validFromDate' | 'validToDate'>) {
  const validFrom = validFromDate.getTime();
  return { validFrom, issuedAt: validFrom + backdateMs, expiresAt: validToDate.getTime() };
}

/** The `caBundle` of each webhook; undefined if there is no webhook configuration, `unknown` if it cannot be read. */
export type CaBundles = readonly string[] | undefined | 'unknown';

/** What the webhook configuration publishes at one moment. */
export interface PublicationSnapshot {
  readonly published: PublishedState;
  /** The CAs that are in at least one caBundle. */
  readonly caCertificates: readonly CaCertificate[];
}

/** Records since when each CA has been in all caBundles. */
export class PublicationTracker {
  readonly #publishedSince = new Map<string, number>();

  /**
   * Records the current caBundles.
   * @param monotonicMs current time of a monotonic clock, in ms
   */
  recordBundles(caBundles: CaBundles, monotonicMs: number): PublicationSnapshot {
    if (caBundles === 'unknown') {
      return { published: 'unknown', caCertificates: [] };
    }
    const bundles = (caBundles ?? []).map(parseCaBundle);
    const caCertificates = bundles.flatMap((bundle) => bundle.caCertificates);
    const inAllBundles = new Set(caCertificates.map(({ id }) => id));
    for (const bundle of bundles) {
      const ids = new Set(bundle.caCertificates.map(({ id }) => id));
      for (const id of inAllBundles) {
        if (!ids.has(id)) {
          inAllBundles.delete(id);
        }
      }
    }
    for (const id of this.#publishedSince.keys()) {
      if (!inAllBundles.has(id)) {
        this.#publishedSince.delete(id);
      }
    }
    for (const id of inAllBundles) {
      if (!this.#publishedSince.has(id)) {
        this.#publishedSince.set(id, monotonicMs);
      }
    }
    if (bundles.length === 0) {
      return { published: 'no-webhook', caCertificates };
    }
    const facts = bundles.map((bundle) => ({
      ids: bundle.caCertificates.map(({ id }) => id),
      isMalformed: bundle.isMalformed,
    }));
    const forMs = new Map([...this.#publishedSince].map(([id, since]) => [id, monotonicMs - since]));
    return { published: { bundles: facts, forMs }, caCertificates };
  }
}
