// Which endpoints of ECR the managed Secrets of the cluster hold valid tokens from.

import { parseEcrHost, type Registry } from '../ecr/registry.ts';
import { isBelievable } from '../ecr/token-policy.ts';

import { hasOwnHosts } from './cached-secret.ts';
import type { KnownSecret } from './secret-cache.ts';

export interface ClaimedEndpointsOptions {
  /** What is known of the Secrets of all namespaces. */
  secrets(): Iterable<readonly [string, KnownSecret]>;
  /** Grows with every change of that. */
  changes(): number;
  /** The wall clock, in ms since the epoch. */
  now(): number;
}

/** All Secrets are read again at most once in this time, in ms: 10,000 take some milliseconds. */
const rereadMs = 5_000;

/**
 * Makes a function that tells whether a managed Secret, changed by nobody else, says that it holds a valid token from a
 * registry's endpoint. That such an endpoint exists outlives a restart this way. It is no proof: whoever may edit a
 * Secret can write this into it, field manager included.
 */
export function claimedEndpoints(options: ClaimedEndpointsOptions): (registry: Registry) => boolean {
  let claimed: ReadonlySet<string> = new Set();
  let read = { changes: -1, at: Number.NEGATIVE_INFINITY };
  return (registry) => {
    const [changes, now] = [options.changes(), options.now()];
    if (changes !== read.changes && Math.abs(now - read.at) >= rereadMs) {
      claimed = readEndpoints(options.secrets(), now);
      read = { changes, at: now };
    }
    return claimed.has(endpointOf(registry));
  };
}

function readEndpoints(secrets: Iterable<readonly [string, KnownSecret]>, now: number): Set<string> {
  const hosts = new Set<string>();
  for (const [, secret] of secrets) {
    for (const [host, life] of secret.ours && hasOwnHosts(secret) ? secret.hosts : []) {
      if (life !== undefined && isBelievable(life, now)) {
        hosts.add(host);
      }
    }
  }
  return new Set([...hosts].flatMap((host) => parseEcrHost(host) ?? []).map(endpointOf));
}

/** Tells endpoints of GetAuthorizationToken apart, whoever calls them; two hosts of other accounts share one. */
export function endpointOf({ region, fips, dualStack }: Registry): string {
  return `${region} ${fips} ${dualStack}`;
}
