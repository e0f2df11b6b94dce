// Decides which hosts may be removed from a Secret: to make room, or because they never received a token. Pure.
import type { DroppableHost, SecretContent } from './merge.ts';

export interface DropRules {
  /** Whether a pod names the host, or may soon name it, or the operator configured it. */
  isKept(host: string): boolean;
  /** The wall clock in ms. */
  readonly now: number;
}

/**
 * The hosts that may make room for others, in the order in which they may be removed: first those that never received a
 * token, then those whose token has expired, then those whose token is valid, starting with the one that expires first. A host
 * whose entry another writer added is never removed, because its pods may pull with that entry.
 */
export function findDroppableHosts(
  { hosts, auths }: SecretContent,
  { isKept, now }: DropRules,
): DroppableHost[] {
  return [...hosts]
    .filter(([host, lifetime]) => !isKept(host) && (lifetime !== undefined || !auths.has(host)))
    .map(([host, lifetime]) => ({ host, expiresAt: lifetime?.expiresAt ?? Number.NEGATIVE_INFINITY }))
    .sort((a, b) => a.expiresAt - b.expiresAt)
    .map(({ host, expiresAt }) => ({ host, valid: expiresAt > now }));
}

/** Hosts that never received a token and were requested at least `forgetAfterMs` ago. */
export function findForgettableHosts(
  { requestedAt }: Pick<SecretContent, 'requestedAt'>,
  forgetAfterMs: number,
  { isKept, now }: DropRules,
): string[] {
  return [...requestedAt]
    .filter(([host, at]) => at + forgetAfterMs <= now && !isKept(host))
    .map(([host]) => host);
}
