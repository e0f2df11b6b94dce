import type { RenewalReason } from './certificate-state.ts';
import {
  type CaFacts,
  findPublishReason,
  findValidityProblem,
  getRenewalTime,
  isPropagated,
  isWithinValidity,
  type ObservedCertificates,
  type PublishedState,
  type ServingCertificateFacts,
  type StoredCertificateFacts,
} from './certificate-state.ts';

/**
 * What to do next. A new CA comes in front of the bundle; `keep` are the other CAs, by id, that stay behind it.
 * `create` makes CA and certificate, `new-authority` only the CA: the certificate stays until the CA is known. `recover`
 * and `restore-leaf` store the certificate in this process's memory again: API servers trust its CA already.
 */
export type Step =
  | {
      readonly action: 'create' | 'new-authority' | 'recover';
      readonly reason: RenewalReason;
      readonly keep: readonly string[];
    }
  | {
      readonly action: 'drop-old-authority';
      readonly reason: RenewalReason;
      readonly keep: readonly string[];
    }
  | { readonly action: 'reissue-leaf' | 'restore-leaf'; readonly reason: RenewalReason }
  | { readonly action: 'publish'; readonly reason: RenewalReason }
  | { readonly action: 'nothing'; readonly reason: 'all-well' | 'foreign-secret' };

export interface Decision {
  readonly step: Step;
  /** When time alone asks for another look, ms since the epoch. */
  readonly recheckAt: number;
}

export interface RotationRules {
  /** How long a CA has to stand in the bundle before anything is served that needs it, ms. */
  readonly apiServerPropagationMs: number;
  /** How long a serving certificate lives, ms. */
  readonly certificateLifetimeMs: number;
  /** How long it takes until every replica serves the certificate that the Secret holds, ms. */
  readonly replicaPropagationMs: number;
}

/**
 * Of the older CAs the newest so many stay: a Secret that is damaged as often before the replicas have changed over must not
 * cost a replica the CA of the certificate that it serves.
 */
const maxRetainedCas = 8;

/**
 * Decides on what every replica can see, so that they agree without a leader. After each step all is looked at anew,
 * until there is nothing to do.
 *
 * The order of a change of CA: new CA in front of the bundle, publish both, wait until every API server knows, new
 * certificate, wait until the last certificate of the old CA has ended, drop it, publish.
 */
export function planNextStep(seen: ObservedCertificates, rules: RotationRules): Decision {
  const { stored } = seen;
  if (stored === 'foreign') return withoutRecheck({ action: 'nothing', reason: 'foreign-secret' });
  if (stored === 'none') return planRecovery(seen, 'no-secret');
  const [newest] = stored.caCertificates;
  const caProblem = stored.caProblem ?? findValidityProblem('authority', newest, seen.now);
  const servingCertificateProblem = findServingCertificateProblem(stored, seen.now);
  if (newest === undefined || caProblem !== undefined) {
    const reason = caProblem ?? 'authority-missing';
    if (servingCertificateProblem !== undefined) return planRecovery(seen, reason);
    return withoutRecheck({ action: 'new-authority', reason, keep: listRetainedCas(seen) });
  }
  if (stored.servingCertificate === undefined || servingCertificateProblem !== undefined) {
    return planReissue(seen, stored, servingCertificateProblem ?? 'leaf-missing');
  }
  return planRotation(seen, rules, {
    newest,
    servingCertificate: stored.servingCertificate,
    caCertificates: stored.caCertificates,
  });
}

/**
 * Whether to change to the stored certificate. Not before its CA is known everywhere, unless what is served now is no
 * good any more.
 * @param current what is served now; undefined: nothing
 */
export function canServe(
  current: ServingCertificateFacts | undefined,
  next: ServingCertificateFacts,
  { published, now }: Pick<ObservedCertificates, 'published' | 'now'>,
  { apiServerPropagationMs }: Pick<RotationRules, 'apiServerPropagationMs'>,
): boolean {
  if (next.issuerId === undefined || !isWithinValidity(next, now)) return false;
  if (current === undefined || !isWithinValidity(current, now)) return true;
  if (current.issuerId === next.issuerId || isPropagated(published, next.issuerId, apiServerPropagationMs))
    return true;
  return isPublished(published, next.issuerId) && !isPublished(published, current.issuerId);
}

interface ServingState {
  readonly newest: CaFacts;
  readonly servingCertificate: ServingCertificateFacts;
  readonly caCertificates: readonly CaFacts[];
}

/** All that is stored is good. */
function planRotation(seen: ObservedCertificates, rules: RotationRules, serving: ServingState): Decision {
  const { published, now } = seen;
  const { newest, servingCertificate, caCertificates } = serving;
  const unexpired = caCertificates.filter(({ expiresAt }) => now <= expiresAt).map(({ id }) => id);
  const publish = findPublishReason(published, unexpired);
  if (publish !== undefined) return withoutRecheck({ action: 'publish', reason: publish });
  // Where nobody can say what is published, a new CA could not be made known: the one that is known goes on.
  if (now >= getRenewalTime(newest) && published !== 'unknown') {
    return withoutRecheck({ action: 'new-authority', reason: 'authority-due', keep: unexpired });
  }
  const ofNewest = servingCertificate.issuerId === newest.id;
  const reissue = findReissueReason(servingCertificate, ofNewest, now);
  if (
    reissue !== undefined &&
    (ofNewest || isPropagated(published, newest.id, rules.apiServerPropagationMs))
  ) {
    return withoutRecheck({ action: 'reissue-leaf', reason: reissue });
  }
  const dropAt = ofNewest
    ? lastOldCertificateExpiresAt(newest, servingCertificate, rules)
    : Number.POSITIVE_INFINITY;
  if (caCertificates.length > 1 && now >= dropAt) {
    return withoutRecheck({ action: 'drop-old-authority', reason: 'old-authority-unused', keep: [] });
  }
  if (unexpired.length < caCertificates.length) {
    const keep = unexpired.filter((id) => id !== newest.id);
    return withoutRecheck({ action: 'drop-old-authority', reason: 'old-authority-expired', keep });
  }
  const times = [
    getRenewalTime(newest),
    getRenewalTime(servingCertificate),
    servingCertificate.expiresAt,
    ...caCertificates.map(({ expiresAt }) => expiresAt),
    ...(caCertificates.length > 1 ? [dropAt] : []),
    propagatesAt(published, newest.id, now, rules.apiServerPropagationMs),
  ];
  const recheckAt = Math.min(...times.filter((time) => time > now));
  return { step: { action: 'nothing', reason: 'all-well' }, recheckAt };
}

function findServingCertificateProblem(
  stored: StoredCertificateFacts,
  now: number,
): RenewalReason | undefined {
  if (stored.servingCertificate === undefined || stored.servingCertificateProblem !== undefined)
    return stored.servingCertificateProblem ?? 'leaf-missing';
  const ca = stored.caCertificates.find(({ id }) => id === stored.servingCertificate?.issuerId);
  if (ca === undefined) return 'leaf-of-unknown-authority';
  return (
    findValidityProblem('leaf', stored.servingCertificate, now) ?? findValidityProblem('authority', ca, now)
  );
}

function findReissueReason(
  servingCertificate: ServingCertificateFacts,
  ofNewest: boolean,
  now: number,
): RenewalReason | undefined {
  if (!ofNewest) return 'authority-changed';
  if (servingCertificate.missingNames.length > 0) return 'leaf-lacks-names';
  return now >= getRenewalTime(servingCertificate) ? 'leaf-due' : undefined;
}

/**
 * From when on nobody can be met with a certificate of an older CA: the last of those was made before the newest CA
 * was, since the older one's key was thrown away then. And every replica has had the time to change over: certificates
 * of the older CA may live longer than `certificateLifetimeMs`, where that was set to less since.
 */
function lastOldCertificateExpiresAt(
  newest: CaFacts,
  servingCertificate: ServingCertificateFacts,
  { certificateLifetimeMs, replicaPropagationMs }: RotationRules,
) {
  return Math.max(
    newest.issuedAt + certificateLifetimeMs,
    servingCertificate.issuedAt + replicaPropagationMs,
  );
}

function propagatesAt(
  published: PublishedState,
  id: string,
  now: number,
  apiServerPropagationMs: number,
): number {
  const forMs = typeof published === 'object' ? published.forMs.get(id) : undefined;
  return forMs === undefined ? Number.POSITIVE_INFINITY : now + apiServerPropagationMs - forMs;
}

function isPublished(published: PublishedState, id: string | undefined): boolean {
  return typeof published === 'object' && id !== undefined && published.forMs.has(id);
}

/** Neither CA nor certificate is good. */
function planRecovery(seen: ObservedCertificates, reason: RenewalReason): Decision {
  const keep = listRetainedCas(seen);
  return withoutRecheck({ action: hasServingCertificateOf(keep, seen) ? 'recover' : 'create', reason, keep });
}

/** The CA is good, the certificate is not. */
function planReissue(
  seen: ObservedCertificates,
  { caCertificates }: StoredCertificateFacts,
  reason: RenewalReason,
): Decision {
  const valid = caCertificates.filter((ca) => isWithinValidity(ca, seen.now)).map(({ id }) => id);
  return withoutRecheck({
    action: hasServingCertificateOf(valid, seen) ? 'restore-leaf' : 'reissue-leaf',
    reason,
  });
}

/** Whether this process holds a valid certificate of one of these CAs. */
function hasServingCertificateOf(
  caCertificates: readonly string[],
  { served, now }: ObservedCertificates,
): boolean {
  const { issuerId: ca } = served ?? {};
  return (
    served !== undefined && ca !== undefined && caCertificates.includes(ca) && isWithinValidity(served, now)
  );
}

/** CAs that somebody may still be served by, though a new one has to be made. */
function listRetainedCas({ stored, otherCaCertificates, now }: ObservedCertificates): string[] {
  const own = typeof stored === 'object' ? stored.caCertificates : [];
  const usable = [...own, ...otherCaCertificates].filter((ca) => isWithinValidity(ca, now));
  return [...new Set(usable.map(({ id }) => id))].slice(0, maxRetainedCas);
}

function withoutRecheck(step: Step): Decision {
  return { step, recheckAt: Number.POSITIVE_INFINITY };
}
