import { X509Certificate } from 'node:crypto';
import type { AuthorityFacts, Published } from './certificate-state.ts';
import { BACKDATE_MS } from './issue.ts';
import { hasReadableDates } from './key-pair.ts';

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

/** The caBundles of the webhooks that call us; undefined: there is no configuration. */
export type CaBundles = readonly string[] | undefined | 'unknown';

export interface Publication {
  readonly published: Published;
  /** All CAs that stand in any of the caBundles. */
  readonly authorities: readonly Authority[];
}

/** Remembers since when each CA has been seen in all caBundles. */
export class Publications {
  readonly #since = new Map<string, number>();

  /**
   * Notes what is published now.
   * @param steady a clock in ms that is never set
   */
  note(caBundles: CaBundles, steady: number): Publication {
    if (caBundles === 'unknown') return { published: 'unknown', authorities: [] };
    const bundles = (caBundles ?? []).map(readBundle);
    const authorities = bundles.flatMap((bundle) => bundle.authorities);
    const everywhere = new Set(authorities.map(({ id }) => id));
    for (const bundle of bundles) {
      const ids = new Set(bundle.authorities.map(({ id }) => id));
      for (const id of everywhere) if (!ids.has(id)) everywhere.delete(id);
    }
    for (const id of this.#since.keys()) if (!everywhere.has(id)) this.#since.delete(id);
    for (const id of everywhere) if (!this.#since.has(id)) this.#since.set(id, steady);
    if (bundles.length === 0) return { published: 'nowhere', authorities };
    const facts = bundles.map((bundle) => ({
      ids: bundle.authorities.map(({ id }) => id),
      garbled: bundle.garbled,
    }));
    const forMs = new Map([...this.#since].map(([id, since]) => [id, steady - since]));
    return { published: { bundles: facts, forMs }, authorities };
  }
}
