// Decides what a host needs in a namespace's Secret: nothing, a renewal, a token, or room. Pure.
import { type HostIdentityResolver, isOfIdentity } from '../ecr/identity.ts';
import type { Token } from '../ecr/token.ts';
import {
  type Freshness,
  getFreshUntil,
  isReplaceable,
  isUsable,
  type StoredLifetime,
} from '../ecr/token-policy.ts';
import type { CachedSecret } from './cached-secret.ts';
import type { DesiredHosts, MergeRules } from './merge.ts';

export interface TokenRulesDependencies {
  readonly freshness: Freshness;
  /** Maximum number of hosts in one Secret. */
  readonly maxHosts: number;
  readonly identityOf: HostIdentityResolver;
  /** Since when the identities of a namespace are known, in ms by the wall clock; infinite by default: see `isReplaceable`. */
  identityKnownSince?(namespace: string): number;
  /** The wall clock in ms. */
  now(): number;
}

/** Applies the token policy with a configuration and a clock. */
export function createTokenRules({
  freshness,
  maxHosts,
  identityOf,
  identityKnownSince = () => Number.POSITIVE_INFINITY,
  now,
}: TokenRulesDependencies): TokenRules {
  return {
    maxHosts,
    identityOf,
    now,
    isFresh: (lifetime) => now() <= getFreshUntil(lifetime, freshness),
    isUsable: (lifetime) => isUsable(lifetime, now(), freshness),
    shouldReplace: (namespace, token, stored) =>
      isReplaceable(stored, token, now(), {
        ...{ freshness, identity: token.identity },
        identityKnownSince: identityKnownSince(namespace),
      }),
  };
}

/** What a host needs in a namespace's Secret, according to the cache. */
export type TokenNeed =
  /** Its token is fresh. */
  | 'nothing'
  /** Its token is usable for a pod that starts now, but due for renewal. */
  | 'renewal'
  /** It has no token, or one with too little lifetime left. */
  | 'token'
  /** The Secret does not name it and is full. */
  | 'capacity';

export interface TokenRules extends MergeRules {
  isFresh(lifetime: StoredLifetime): boolean;
  isUsable(lifetime: StoredLifetime): boolean;
}

/** @param secret the namespace's Secret as cached; undefined if there is none, or if that is unknown */
export function determineNeed(host: string, secret: CachedSecret | undefined, rules: TokenRules): TokenNeed {
  const lifetime = secret?.hosts.get(host);
  if (lifetime !== undefined && rules.isUsable(lifetime)) {
    return rules.isFresh(lifetime) ? 'nothing' : 'renewal';
  }
  const isFull = secret !== undefined && secret.hosts.size >= rules.maxHosts && !secret.hosts.has(host);
  return isFull ? 'capacity' : 'token';
}

/**
 * Whether an intact Secret already holds the desired tokens and names the desired hosts, and holds no denied host, so that no
 * write is needed. See `mergeContent` for tokens of another identity than the one that applies.
 */
export function isUpToDate(
  namespace: string,
  secret: CachedSecret | undefined,
  desired: DesiredHosts,
  rules: MergeRules,
): boolean {
  return (
    secret?.isManaged === true &&
    secret.isIntact &&
    [...secret.hosts.keys()].every((host) => rules.identityOf(namespace, host).access !== 'denied') &&
    [...desired].every(([host, token]) => isSatisfied(host, token))
  );

  function isSatisfied(host: string, token: Token | undefined): boolean {
    const decision = rules.identityOf(namespace, host);
    if (decision.access === 'denied') {
      return true;
    }
    const stored = secret?.hosts.get(host);
    if (token === undefined || !isOfIdentity(token.identity, decision)) {
      return secret?.hosts.has(host) === true;
    }
    return stored !== undefined && !rules.shouldReplace(namespace, token, stored);
  }
}
