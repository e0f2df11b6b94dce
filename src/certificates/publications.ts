import { type Authority, readBundle } from './bundle.ts';
import type { Published } from './facts.ts';

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
