import type { Reason } from './certificate-state.ts';
import {
  type AuthorityFacts,
  begunAndNotEnded,
  dueAt,
  type LeafFacts,
  type Published,
  publishingReason,
  type Seen,
  type StoredFacts,
  settled,
  troubleInTime,
} from './certificate-state.ts';

/**
 * What to do next. A new CA comes in front of the bundle; `keep` are the other CAs, by id, that stay behind it.
 * `create` makes CA and certificate, `new-authority` only the CA: the certificate stays until the CA is known. `recover`
 * and `restore-leaf` store the certificate in this process's memory again: API servers trust its CA already.
 */
export type Step =
  | {
      readonly action: 'create' | 'new-authority' | 'recover';
      readonly reason: Reason;
      readonly keep: readonly string[];
    }
  | { readonly action: 'drop-old-authority'; readonly reason: Reason; readonly keep: readonly string[] }
  | { readonly action: 'reissue-leaf' | 'restore-leaf'; readonly reason: Reason }
  | { readonly action: 'publish'; readonly reason: Reason }
  | { readonly action: 'nothing'; readonly reason: 'all-well' | 'foreign-secret' };

export interface Decision {
  readonly step: Step;
  /** When time alone asks for another look, ms since the epoch. */
  readonly lookAgainAt: number;
}

export interface PolicyRules {
  /** How long a CA has to stand in the bundle before anything is served that needs it, ms. */
  readonly settleMs: number;
  /** How long a serving certificate lives, ms. */
  readonly leafLifeMs: number;
  /** How long it takes until every replica serves the certificate that the Secret holds, ms. */
  readonly spreadMs: number;
}

/**
 * Of the older CAs the newest so many stay: a Secret that is damaged as often before the replicas have changed over must not
 * cost a replica the CA of the certificate that it serves.
 */
const mostKept = 8;

/**
 * Decides on what every replica can see, so that they agree without a leader. After each step all is looked at anew,
 * until there is nothing to do.
 *
 * The order of a change of CA: new CA in front of the bundle, publish both, wait until every API server knows, new
 * certificate, wait until the last certificate of the old CA has ended, drop it, publish.
 */
export function decide(seen: Seen, rules: PolicyRules): Decision {
  const { stored } = seen;
  if (stored === 'foreign') return whenever({ action: 'nothing', reason: 'foreign-secret' });
  if (stored === 'none') return startOver(seen, 'no-secret');
  const [newest] = stored.authorities;
  const trouble = stored.authorityProblem ?? troubleInTime('authority', newest, seen.now);
  const leafTrouble = troubleOfLeaf(stored, seen.now);
  if (newest === undefined || trouble !== undefined) {
    const reason = trouble ?? 'authority-missing';
    if (leafTrouble !== undefined) return startOver(seen, reason);
    return whenever({ action: 'new-authority', reason, keep: kept(seen) });
  }
  if (stored.leaf === undefined || leafTrouble !== undefined) {
    return replaceLeaf(seen, stored, leafTrouble ?? 'leaf-missing');
  }
  return whileServing(seen, rules, { newest, leaf: stored.leaf, authorities: stored.authorities });
}

/**
 * Whether to change to the stored certificate. Not before its CA is known everywhere, unless what is served now is no
 * good any more.
 * @param current what is served now; undefined: nothing
 */
export function mayServe(
  current: LeafFacts | undefined,
  next: LeafFacts,
  { published, now }: Pick<Seen, 'published' | 'now'>,
  { settleMs }: Pick<PolicyRules, 'settleMs'>,
): boolean {
  if (next.authority === undefined || !begunAndNotEnded(next, now)) return false;
  if (current === undefined || !begunAndNotEnded(current, now)) return true;
  if (current.authority === next.authority || settled(published, next.authority, settleMs)) return true;
  return isIn(published, next.authority) && !isIn(published, current.authority);
}

interface Serving {
  readonly newest: AuthorityFacts;
  readonly leaf: LeafFacts;
  readonly authorities: readonly AuthorityFacts[];
}

/** All that is stored is good. */
function whileServing(seen: Seen, rules: PolicyRules, serving: Serving): Decision {
  const { published, now } = seen;
  const { newest, leaf, authorities } = serving;
  const living = authorities.filter(({ endsAt }) => now <= endsAt).map(({ id }) => id);
  const publish = publishingReason(published, living);
  if (publish !== undefined) return whenever({ action: 'publish', reason: publish });
  // Where nobody can say what is published, a new CA could not be made known: the one that is known goes on.
  if (now >= dueAt(newest) && published !== 'unknown') {
    return whenever({ action: 'new-authority', reason: 'authority-due', keep: living });
  }
  const ofNewest = leaf.authority === newest.id;
  const reissue = reissuingReason(leaf, ofNewest, now);
  if (reissue !== undefined && (ofNewest || settled(published, newest.id, rules.settleMs))) {
    return whenever({ action: 'reissue-leaf', reason: reissue });
  }
  const dropAt = ofNewest ? lastOfOldEndsAt(newest, leaf, rules) : Number.POSITIVE_INFINITY;
  if (authorities.length > 1 && now >= dropAt) {
    return whenever({ action: 'drop-old-authority', reason: 'old-authority-unused', keep: [] });
  }
  if (living.length < authorities.length) {
    const keep = living.filter((id) => id !== newest.id);
    return whenever({ action: 'drop-old-authority', reason: 'old-authority-expired', keep });
  }
  const times = [
    dueAt(newest),
    dueAt(leaf),
    leaf.endsAt,
    ...authorities.map(({ endsAt }) => endsAt),
    ...(authorities.length > 1 ? [dropAt] : []),
    settlesAt(published, newest.id, now, rules.settleMs),
  ];
  const lookAgainAt = Math.min(...times.filter((time) => time > now));
  return { step: { action: 'nothing', reason: 'all-well' }, lookAgainAt };
}

function troubleOfLeaf(stored: StoredFacts, now: number): Reason | undefined {
  if (stored.leaf === undefined || stored.leafProblem !== undefined)
    return stored.leafProblem ?? 'leaf-missing';
  const authority = stored.authorities.find(({ id }) => id === stored.leaf?.authority);
  if (authority === undefined) return 'leaf-of-unknown-authority';
  return troubleInTime('leaf', stored.leaf, now) ?? troubleInTime('authority', authority, now);
}

function reissuingReason(leaf: LeafFacts, ofNewest: boolean, now: number): Reason | undefined {
  if (!ofNewest) return 'authority-changed';
  if (leaf.lacks.length > 0) return 'leaf-lacks-names';
  return now >= dueAt(leaf) ? 'leaf-due' : undefined;
}

/**
 * From when on nobody can be met with a certificate of an older CA: the last of those was made before the newest CA
 * was, since the older one's key was thrown away then. And every replica has had the time to change over: certificates
 * of the older CA may live longer than `leafLifeMs`, where that was set to less since.
 */
function lastOfOldEndsAt(newest: AuthorityFacts, leaf: LeafFacts, { leafLifeMs, spreadMs }: PolicyRules) {
  return Math.max(newest.issuedAt + leafLifeMs, leaf.issuedAt + spreadMs);
}

function settlesAt(published: Published, id: string, now: number, settleMs: number): number {
  const forMs = typeof published === 'object' ? published.forMs.get(id) : undefined;
  return forMs === undefined ? Number.POSITIVE_INFINITY : now + settleMs - forMs;
}

function isIn(published: Published, id: string | undefined): boolean {
  return typeof published === 'object' && id !== undefined && published.forMs.has(id);
}

/** Neither CA nor certificate is good. */
function startOver(seen: Seen, reason: Reason): Decision {
  const keep = kept(seen);
  return whenever({ action: holdsLeafOf(keep, seen) ? 'recover' : 'create', reason, keep });
}

/** The CA is good, the certificate is not. */
function replaceLeaf(seen: Seen, { authorities }: StoredFacts, reason: Reason): Decision {
  const valid = authorities.filter((authority) => begunAndNotEnded(authority, seen.now)).map(({ id }) => id);
  return whenever({ action: holdsLeafOf(valid, seen) ? 'restore-leaf' : 'reissue-leaf', reason });
}

/** Whether this process holds a valid certificate of one of these CAs. */
function holdsLeafOf(authorities: readonly string[], { served, now }: Seen): boolean {
  const { authority } = served ?? {};
  return (
    served !== undefined &&
    authority !== undefined &&
    authorities.includes(authority) &&
    begunAndNotEnded(served, now)
  );
}

/** CAs that somebody may still be served by, though a new one has to be made. */
function kept({ stored, elsewhere, now }: Seen): string[] {
  const own = typeof stored === 'object' ? stored.authorities : [];
  const usable = [...own, ...elsewhere].filter((authority) => begunAndNotEnded(authority, now));
  return [...new Set(usable.map(({ id }) => id))].slice(0, mostKept);
}

function whenever(step: Step): Decision {
  return { step, lookAgainAt: Number.POSITIVE_INFINITY };
}
