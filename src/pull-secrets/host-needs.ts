import type { Token } from '../ecr/token.ts';
import {
  type Freshness,
  getFreshUntil,
  isReplaceable,
  isUsable,
  type StoredLifetime,
} from '../ecr/token-policy.ts';
import type { DesiredHosts, MergeRules } from './merge.ts';
import type { KnownSecret } from './secret-cache.ts';

export interface TokenRulesDependencies {
  readonly freshness: Freshness;
  /** Hosts in one Secret, at most. */
  readonly maxHosts: number;
  /** Fingerprint of the role that fetches the tokens of a host for a namespace; undefined for the program's own identity. */
  identityOf(namespace: string, host: string): string | undefined;
  /** The wall clock in ms. */
  now(): number;
}

/** Binds the token policy to a configuration and a clock. */
export function createTokenRules({
  freshness,
  maxHosts,
  identityOf,
  now,
}: TokenRulesDependencies): TokenRules {
  return {
    maxHosts,
    identityOf,
    now,
    isFresh: (lifetime) => now() <= getFreshUntil(lifetime, freshness),
    isUsable: (lifetime) => isUsable(lifetime, now(), freshness),
    shouldReplace: (namespace, host, token, stored) =>
      isReplaceable(stored, token, now(), { freshness, identity: identityOf(namespace, host) }),
  };
}

/** What a host needs in a namespace's Secret, as far as that is known. */
export type TokenNeed =
  /** Its token is fresh. */
  | 'nothing'
  /** Its token is good enough for a pod that starts now, but due for renewal. */
  | 'renewal'
  /** It has no token, or none that lives long enough. */
  | 'token'
  /** It is not among the Secret's hosts, and there is no room for more. */
  | 'room';

export interface TokenRules extends MergeRules {
  isFresh(lifetime: StoredLifetime): boolean;
  isUsable(lifetime: StoredLifetime): boolean;
}

/** @param secret what is known of the namespace's Secret; undefined: there is none, or nobody knows */
export function determineNeed(host: string, secret: KnownSecret | undefined, rules: TokenRules): TokenNeed {
  const lifetime = secret?.hosts.get(host);
  if (lifetime !== undefined && rules.isUsable(lifetime)) {
    return rules.isFresh(lifetime) ? 'nothing' : 'renewal';
  }
  const isFull = secret !== undefined && secret.hosts.size >= rules.maxHosts && !secret.hosts.has(host);
  return isFull ? 'room' : 'token';
}

/** Whether a Secret already holds or names all that is wanted, as we wrote it, so that there is nothing to write. */
export function isUpToDate(
  namespace: string,
  secret: KnownSecret | undefined,
  wanted: DesiredHosts,
  rules: MergeRules,
): boolean {
  return (
    secret?.isManaged === true &&
    secret.isIntact &&
    [...wanted].every(([host, token]) => isSatisfied(host, token))
  );

  function isSatisfied(host: string, token: Token | undefined): boolean {
    const stored = secret?.hosts.get(host);
    if (token === undefined) {
      return secret?.hosts.has(host) === true;
    }
    return stored !== undefined && !rules.shouldReplace(namespace, host, token, stored);
  }
}
