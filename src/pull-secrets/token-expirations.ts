import type { RegistryResolver } from '../ecr/registry.ts';
import { hasTrustedHosts } from './cached-secret.ts';
import type { HostLifetimes } from './hosts-annotation.ts';

/** What is needed of a Secret here. */
interface SecretWithHosts {
  readonly isManaged: boolean;
  readonly isIntact: boolean;
  readonly hasTrustedHosts?: boolean;
  readonly hosts: HostLifetimes;
}

/** Of the tokens of one region, or of the regions that share a label. Times are in ms since the epoch. */
interface Expiries {
  /** When the first of the unexpired tokens expires; infinite where there is none. */
  nextAt: number;
  /** When the last of the others expired; minus infinity where there is none. */
  lastAt: number;
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
export function findTokenExpiries(
  secrets: Iterable<SecretWithHosts>,
  now: number,
  labelOf: (region: string) => string,
  resolveRegistry: RegistryResolver,
): Map<string, number> {
  const unexpired = new Map<string, number>();
  const expired = new Map<string, number>();
  const regions = [...groupExpiriesByRegion(secrets, now, resolveRegistry)].sort(
    ([nameA, a], [nameB, b]) => b.holders.size - a.holders.size || (nameA < nameB ? -1 : 1),
  );
  for (const [region, { nextAt, lastAt }] of regions) {
    const label = labelOf(region);
    if (nextAt < Number.POSITIVE_INFINITY) {
      unexpired.set(label, Math.min(nextAt, unexpired.get(label) ?? nextAt));
    } else {
      expired.set(label, Math.max(lastAt, expired.get(label) ?? lastAt));
    }
  }
  return new Map([...expired, ...unexpired]);
}

function groupExpiriesByRegion(
  secrets: Iterable<SecretWithHosts>,
  now: number,
  resolveRegistry: RegistryResolver,
): Map<string, Expiries> {
  const byRegion = new Map<string, Expiries>();
  const regionOf = memoizeRegions(resolveRegistry);
  for (const secret of secrets) {
    for (const [host, lifetime] of secret.isManaged && hasTrustedHosts(secret) ? secret.hosts : []) {
      const region = regionOf(host);
      if (region !== undefined && lifetime !== undefined) {
        const expiries = byRegion.get(region) ?? createExpiries();
        byRegion.set(region, expiries);
        recordExpiry(expiries, secret, lifetime.expiresAt, now);
      }
    }
  }
  return byRegion;
}

/** 10,000 namespaces share a few hosts, so each is parsed once. */
function memoizeRegions(resolveRegistry: RegistryResolver): (host: string) => string | undefined {
  const regions = new Map<string, string | undefined>();
  return (host) => {
    if (!regions.has(host)) {
      regions.set(host, resolveRegistry(host)?.region);
    }
    return regions.get(host);
  };
}

function createExpiries(): Expiries {
  return { nextAt: Number.POSITIVE_INFINITY, lastAt: Number.NEGATIVE_INFINITY, holders: new Set() };
}

function recordExpiry(expiries: Expiries, secret: object, expiresAt: number, now: number): void {
  if (expiresAt > now) {
    expiries.holders.add(secret);
    expiries.nextAt = Math.min(expiresAt, expiries.nextAt);
  } else {
    expiries.lastAt = Math.max(expiresAt, expiries.lastAt);
  }
}
