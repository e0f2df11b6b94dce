import { parseEcrHost } from '../ecr/registry.ts';
import { hasOwnHosts } from './cached-secret.ts';
import type { HostLives } from './hosts-annotation.ts';

/** What is needed of a Secret here. */
interface Stored {
  readonly ours: boolean;
  readonly intact: boolean;
  readonly hasOwnHosts?: boolean;
  readonly hosts: HostLives;
}

/** Of the tokens of one region, or of the regions that share a label. Times are in ms since the epoch. */
interface Expiries {
  /** When the first of the unexpired tokens expires; infinite where there is none. */
  next: number;
  /** When the last of the others expired; minus infinity where there is none. */
  last: number;
  /** Secrets that hold an unexpired token. */
  readonly holders: Set<object>;
}

/**
 * When stored tokens expire, in ms since the epoch, by label of their region: the next expiry among the unexpired
 * tokens, or, where all have expired, the last one. An expired token thus never hides the next expiry. A host whose
 * token has expired although others of its region have not is one that renewal reports as failing.
 *
 * Only managed Secrets whose content and annotation nobody else has changed count, because any other annotation says
 * whatever its author likes. A Secret that lost its label still counts. Regions that more Secrets hold valid tokens for are labelled first, so that regions that one tenant made up
 * take no label from one that is in use.
 *
 * @param now the wall clock in ms
 * @param labelOf gives the label of a region; regions may share one
 */
export function tokenExpiries(
  secrets: Iterable<Stored>,
  now: number,
  labelOf: (region: string) => string,
): Map<string, number> {
  const labelled = new Map<string, number>();
  const expired = new Map<string, number>();
  const regions = [...expiriesByRegion(secrets, now)].sort(
    ([nameA, a], [nameB, b]) => b.holders.size - a.holders.size || (nameA < nameB ? -1 : 1),
  );
  for (const [region, { next, last }] of regions) {
    const label = labelOf(region);
    if (next < Number.POSITIVE_INFINITY) {
      labelled.set(label, Math.min(next, labelled.get(label) ?? next));
    } else {
      expired.set(label, Math.max(last, expired.get(label) ?? last));
    }
  }
  return new Map([...expired, ...labelled]);
}

function expiriesByRegion(secrets: Iterable<Stored>, now: number): Map<string, Expiries> {
  const byRegion = new Map<string, Expiries>();
  const regionOf = rememberedRegions();
  for (const secret of secrets) {
    for (const [host, life] of secret.ours && hasOwnHosts(secret) ? secret.hosts : []) {
      const region = regionOf(host);
      if (region !== undefined && life !== undefined) {
        const expiries = byRegion.get(region) ?? none();
        byRegion.set(region, expiries);
        note(expiries, secret, life.expiresAt, now);
      }
    }
  }
  return byRegion;
}

/** 10,000 namespaces share a few hosts, so each is parsed once. */
function rememberedRegions(): (host: string) => string | undefined {
  const regions = new Map<string, string | undefined>();
  return (host) => {
    if (!regions.has(host)) {
      regions.set(host, parseEcrHost(host)?.region);
    }
    return regions.get(host);
  };
}

function none(): Expiries {
  return { next: Number.POSITIVE_INFINITY, last: Number.NEGATIVE_INFINITY, holders: new Set() };
}

function note(expiries: Expiries, secret: object, expiresAt: number, now: number): void {
  if (expiresAt > now) {
    expiries.holders.add(secret);
    expiries.next = Math.min(expiresAt, expiries.next);
  } else {
    expiries.last = Math.max(expiresAt, expiries.last);
  }
}
