// Finds when the stored tokens of each region expire, for metrics and alerts. Pure.
import type { RegistryResolver } from '../ecr/registry.ts';
import { hasTrustedHosts } from './cached-secret.ts';
import type { HostLifetimes } from './hosts-annotation.ts';

/** The properties of a cached Secret that are needed here. */
interface SecretWithHosts {
  readonly isManaged: boolean;
  readonly isIntact: boolean;
  readonly hasTrustedHosts?: boolean;
  readonly hosts: HostLifetimes;
}

/** The expirations of one region's tokens, in ms since the epoch. */
interface Expiries {
  /** When the first of the unexpired tokens expires; positive infinity if there is none. */
  nextAt: number;
  /** When the last of the other tokens expired; negative infinity if there is none. */
  lastAt: number;
  /** Secrets that hold an unexpired token. */
  readonly holders: Set<object>;
}

/**
 * When stored tokens expire, in ms since the epoch, by the label of their region: the next expiry of an unexpired token, or the
 * last expiry if all have expired. An expired token therefore never hides the next expiry. If the token of a single host has
 * expired, renewal reports that host as failing.
 *
 * Only managed Secrets whose content and annotation no other writer changed count, because otherwise a tenant decides what the
 * annotation says. A Secret without its label still counts. Regions for which more Secrets hold valid tokens are labelled
 * first, so that regions that a tenant invented take no label from a region that is in use.
 *
 * @param now the wall clock in ms
 * @param labelOf returns the label of a region; regions may share one
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

/** Parses each host once, because 10,000 namespaces share a few hosts. */
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
