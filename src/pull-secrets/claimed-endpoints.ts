// Which endpoints of ECR the managed Secrets of the cluster hold valid tokens from.

import { type Registry, type RegistryResolver, resolveRegistries } from '../ecr/registry.ts';
import { isPlausible } from '../ecr/token-policy.ts';

import { hasTrustedHosts } from './cached-secret.ts';
import type { KnownSecret } from './secret-cache.ts';

export interface ClaimedEndpointsDependencies {
  /** What is known of the Secrets of all namespaces. */
  secrets(): Iterable<readonly [string, KnownSecret]>;
  /** Grows with every change of that. */
  changeCount(): number;
  readonly resolveRegistry: RegistryResolver;
  /** The wall clock, in ms since the epoch. */
  now(): number;
}

/** All Secrets are read again at most once in this time, in ms: 10,000 take some milliseconds. */
const refreshIntervalMs = 5_000;

/**
 * Makes a function that tells whether a managed Secret, changed by nobody else, says that it holds a valid token from a
 * registry's endpoint. That such an endpoint exists outlives a restart this way. It is no proof: whoever may edit a
 * Secret can write this into it, field manager included.
 */
export function createClaimedEndpointCheck(
  options: ClaimedEndpointsDependencies,
): (registry: Registry) => boolean {
  let claimed: ReadonlySet<string> = new Set();
  let lastRead = { changes: -1, at: Number.NEGATIVE_INFINITY };
  return (registry) => {
    const [changes, now] = [options.changeCount(), options.now()];
    if (changes !== lastRead.changes && Math.abs(now - lastRead.at) >= refreshIntervalMs) {
      claimed = collectEndpoints(options.secrets(), now, options.resolveRegistry);
      lastRead = { changes, at: now };
    }
    return claimed.has(endpointKey(registry));
  };
}

function collectEndpoints(
  secrets: Iterable<readonly [string, KnownSecret]>,
  now: number,
  resolveRegistry: RegistryResolver,
): Set<string> {
  const hosts = new Set<string>();
  for (const [, secret] of secrets) {
    for (const [host, lifetime] of secret.isManaged && hasTrustedHosts(secret) ? secret.hosts : []) {
      if (lifetime !== undefined && isPlausible(lifetime, now)) {
        hosts.add(host);
      }
    }
  }
  return new Set(resolveRegistries(hosts, resolveRegistry).map(endpointKey));
}

/** Tells endpoints of GetAuthorizationToken apart, whoever calls them; two hosts of other accounts share one. */
export function endpointKey({ region, fips, dualStack }: Registry): string {
  return `${region} ${fips} ${dualStack}`;
}
