import { type Freshness, freshUntil, isAlive, isNewborn, isUsable } from '../tokens/token.ts';
import type { NeedRules } from './need.ts';

export interface RuleParts {
  readonly freshness: Freshness;
  /** Hosts in one Secret, at most. */
  readonly maxHosts: number;
  /** Fingerprint of the role that asks for a host's tokens; undefined for the program's own identity. */
  identityOf(host: string): string | undefined;
  /** The wall clock in ms. */
  now(): number;
}

/** A token that ends this share of its life later than the stored one is worth a write, though that one is fresh. */
export const worthwhile = 0.25;

/** Clocks of machines may differ by this much, in ms; Kubernetes' own signer allows for as much. */
const clockSkewMs = 5 * 60_000;

/**
 * When a stored token is good, and when another one takes its place:
 * - it is no longer fresh, or the other ends much later, and the other ends later;
 * - another role asked for it, and the other one lives;
 * - it is from a clock ahead of ours, so that nobody knows its end, and the other one is new.
 */
export function pullSecretRules({ freshness, maxHosts, identityOf, now }: RuleParts): NeedRules {
  return {
    maxHosts,
    identityOf,
    now,
    isFresh: (life) => now() <= freshUntil(life, freshness),
    isUsable: (life) => isUsable(life, now(), freshness),
    replaces: (token, stored, host) => {
      if (!isAlive(token.expiresAt, now())) {
        return false;
      }
      if (stored.identity !== identityOf(host)) {
        return true;
      }
      if (stored.issuedAt > now() + clockSkewMs && isNewborn(token, now())) {
        return true;
      }
      const gain = token.expiresAt - stored.expiresAt;
      const much = worthwhile * (token.expiresAt - token.issuedAt);
      return gain > 0 && (gain >= much || now() > freshUntil(stored, freshness));
    },
  };
}
