import { type Freshness, freshUntil, isReplaceable, isUsable, type StoredLife } from '../ecr/token-policy.ts';
import type { MergeRules, Wanted } from './merge.ts';
import type { KnownSecret } from './secret-cache.ts';

export interface RuleParts {
  readonly freshness: Freshness;
  /** Hosts in one Secret, at most. */
  readonly maxHosts: number;
  /** Fingerprint of the role that asks for a host's tokens; undefined for the program's own identity. */
  identityOf(host: string): string | undefined;
  /** The wall clock in ms. */
  now(): number;
}

/** Binds the token policy to a configuration and a clock. */
export function pullSecretRules({ freshness, maxHosts, identityOf, now }: RuleParts): NeedRules {
  return {
    maxHosts,
    identityOf,
    now,
    isFresh: (life) => now() <= freshUntil(life, freshness),
    isUsable: (life) => isUsable(life, now(), freshness),
    replaces: (token, stored, host) =>
      isReplaceable(stored, token, now(), { freshness, identity: identityOf(host) }),
  };
}

/** What a host needs in a namespace's Secret, as far as that is known. */
export type Need =
  /** Its token is fresh. */
  | 'nothing'
  /** Its token is good enough for a pod that starts now, but due for renewal. */
  | 'renewal'
  /** It has no token, or none that lives long enough. */
  | 'token'
  /** It is not among the Secret's hosts, and there is no room for more. */
  | 'room';

export interface NeedRules extends MergeRules {
  isFresh(life: StoredLife): boolean;
  isUsable(life: StoredLife): boolean;
}

/** @param secret what is known of the namespace's Secret; undefined: there is none, or nobody knows */
export function needOf(host: string, secret: KnownSecret | undefined, rules: NeedRules): Need {
  const life = secret?.hosts.get(host);
  if (life !== undefined && rules.isUsable(life)) {
    return rules.isFresh(life) ? 'nothing' : 'renewal';
  }
  const full = secret !== undefined && secret.hosts.size >= rules.maxHosts && !secret.hosts.has(host);
  return full ? 'room' : 'token';
}

/** Whether a Secret already holds or names all that is wanted, as we wrote it, so that there is nothing to write. */
export function reflects(secret: KnownSecret | undefined, wanted: Wanted, rules: MergeRules): boolean {
  return secret?.ours === true && secret.intact && [...wanted].every(([host, token]) => holds(host, token));

  function holds(host: string, token: Parameters<MergeRules['replaces']>[0] | undefined): boolean {
    const stored = secret?.hosts.get(host);
    if (token === undefined) {
      return secret?.hosts.has(host) === true;
    }
    return stored !== undefined && !rules.replaces(token, stored, host);
  }
}
