// Decides which hosts may leave a pull Secret, and when.
import type { Content, Droppable } from './content.ts';

/** What keeps a host in a Secret. */
export interface DropRules {
  /** Whether a pod names the host, or may name it soon, or the operator configured it. */
  isKept(host: string): boolean;
  /** The wall clock in ms. */
  readonly now: number;
}

/**
 * The hosts that may make room for others, in the order in which they may leave: those that never received a token,
 * those whose token has expired, and last those whose token is valid, the one that expires first at the front. A host
 * with an entry that somebody else wrote stays, since that entry may be what its pods pull with.
 */
export function droppableHosts({ hosts, auths }: Content, { isKept, now }: DropRules): Droppable[] {
  return [...hosts]
    .filter(([host, life]) => !isKept(host) && (life !== undefined || !auths.has(host)))
    .map(([host, life]) => ({ host, expiresAt: life?.expiresAt ?? Number.NEGATIVE_INFINITY }))
    .sort((a, b) => a.expiresAt - b.expiresAt)
    .map(({ host, expiresAt }) => ({ host, valid: expiresAt > now }));
}

/** Hosts that never received a token and were requested too long ago. */
export function forgettableHosts(
  { requestedAt }: Pick<Content, 'requestedAt'>,
  forgetAfterMs: number,
  { isKept, now }: DropRules,
): string[] {
  return [...requestedAt]
    .filter(([host, at]) => at + forgetAfterMs <= now && !isKept(host))
    .map(([host]) => host);
}
