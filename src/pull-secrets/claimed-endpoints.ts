// Determines the ECR endpoints of which the managed Secrets of the cluster hold valid tokens.
import { getEndpointId, type Registry, type RegistryResolver, resolveRegistries } from '../ecr/registry.ts';
import { isPlausible } from '../ecr/token-policy.ts';
import { type CachedSecret, hasTrustedHosts } from './cached-secret.ts';

export interface ClaimedEndpointsDependencies {
  /** The cached Secrets of all namespaces. */
  secrets(): Iterable<readonly [string, CachedSecret]>;
  /** Increases with every change of these Secrets. */
  changeCount(): number;
  readonly resolveRegistry: RegistryResolver;
  /** The wall clock, in ms since the epoch. */
  now(): number;
}

/** Minimum time between two passes over all Secrets, in ms. A pass over 10,000 takes a few milliseconds. */
const refreshIntervalMs = 5_000;

/**
 * Creates a predicate: whether a managed Secret that no other writer changed claims to hold a valid token from the endpoint
 * of a registry. This keeps the knowledge that an endpoint exists across a restart. A claim is no proof, because anyone who
 * may edit a Secret can write it, with the program's field manager too.
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
    return claimed.has(getEndpointId(registry));
  };
}

function collectEndpoints(
  secrets: Iterable<readonly [string, CachedSecret]>,
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
  return new Set(resolveRegistries(hosts, resolveRegistry).map(getEndpointId));
}
