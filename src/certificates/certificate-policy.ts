// Decides which step the certificate rotation needs next: a pure function of the observed state and the time.
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
 * What to do next. A new CA becomes the first of the bundle; `keep` lists the ids of the other CAs that remain after it.
 * `create` issues a CA and a certificate. `issue-ca` issues only the CA, because the current certificate stays in use until
 * API servers trust the new CA. `issue-ca-and-restore-certificate` and `restore-certificate` write the certificate in this
 * process's memory back to the Secret, because API servers already trust its CA.
 */
export type Step =
  | {
      readonly action: 'create' | 'issue-ca' | 'issue-ca-and-restore-certificate';
      readonly reason: RenewalReason;
      readonly keep: readonly string[];
    }
  | {
      readonly action: 'remove-old-ca';
      readonly reason: RenewalReason;
      readonly keep: readonly string[];
    }
  | { readonly action: 'reissue-certificate' | 'restore-certificate'; readonly reason: RenewalReason }
  | { readonly action: 'publish-ca-bundle'; readonly reason: RenewalReason }
  | { readonly action: 'none'; readonly reason: 'up-to-date' | 'unmanaged-secret' };

/** The next step, and when to decide again. */
export interface PlannedStep {
  readonly step: Step;
  /** When the passage of time alone may require another step, in ms since the epoch. */
  readonly recheckAt: number;
}

/** Delays that a rotation waits for, and the lifetime of certificates, all in ms. */
export interface RotationRules {
  /** How long a CA must be published before a certificate signed by it is served. */
  readonly apiServerPropagationMs: number;
  /** Lifetime of a serving certificate. */
  readonly certificateLifetimeMs: number;
  /** How long it takes until every replica serves the certificate in the Secret. */
  readonly replicaPropagationMs: number;
}

/**
 * Maximum number of older CAs to keep, newest first. A Secret may be damaged this many times before all replicas serve a new
 * certificate, and the CA of a certificate that a replica still serves remains trusted.
 */
const maxRetainedCas = 8;

/**
 * Plans the next step. The decision depends only on what every replica can observe, so replicas agree without a leader. The
 * caller observes the state again after each step, until the action is `none`.
 *
 * A CA rotation: add the new CA to the front of the bundle, publish both CAs, wait until all API servers have received them,
 * issue a new certificate, wait until the last certificate of the old CA has expired, remove the old CA, publish.
 */
export function planNextStep(observed: ObservedCertificates, rules: RotationRules): PlannedStep {
  const { stored } = observed;
  if (stored === 'unmanaged') {
    return withoutRecheck({ action: 'none', reason: 'unmanaged-secret' });
  }
  if (stored === 'none') {
    return planRecovery(observed, 'no-secret');
  }
  const [newest] = stored.caCertificates;
  const caProblem = stored.caProblem ?? findValidityProblem('ca', newest, observed.now);
  const servingCertificateProblem = findServingCertificateProblem(stored, observed.now);
  if (newest === undefined || caProblem !== undefined) {
    const reason = caProblem ?? 'ca-missing';
    if (servingCertificateProblem !== undefined) {
      return planRecovery(observed, reason);
    }
    return withoutRecheck({ action: 'issue-ca', reason, keep: listRetainedCas(observed) });
  }
  if (stored.servingCertificate === undefined || servingCertificateProblem !== undefined) {
    return planReissue(observed, stored, servingCertificateProblem ?? 'serving-certificate-missing');
  }
  return planRotation(observed, rules, {
    newest,
    servingCertificate: stored.servingCertificate,
    caCertificates: stored.caCertificates,
  });
}

/**
 * Whether to switch to the stored certificate: once all API servers trust its CA, or at once if the current certificate is
 * not valid or not trusted any more.
 * @param current the certificate that is served now, if any
 */
export function canServe(
  current: ServingCertificateFacts | undefined,
  next: ServingCertificateFacts,
  { published, now }: Pick<ObservedCertificates, 'published' | 'now'>,
  { apiServerPropagationMs }: Pick<RotationRules, 'apiServerPropagationMs'>,
): boolean {
  if (next.issuerId === undefined || !isWithinValidity(next, now)) {
    return false;
  }
  if (current === undefined || !isWithinValidity(current, now)) {
    return true;
  }
  if (current.issuerId === next.issuerId || isPropagated(published, next.issuerId, apiServerPropagationMs)) {
    return true;
  }
  return isPublished(published, next.issuerId) && !isPublished(published, current.issuerId);
}

interface ServingState {
  readonly newest: CaFacts;
  readonly servingCertificate: ServingCertificateFacts;
  readonly caCertificates: readonly CaFacts[];
}

/** Plans the next step when everything in the Secret is valid. */
function planRotation(
  observed: ObservedCertificates,
  rules: RotationRules,
  serving: ServingState,
): PlannedStep {
  const { published, now } = observed;
  const { newest, servingCertificate, caCertificates } = serving;
  const unexpired = caCertificates.filter(({ expiresAt }) => now <= expiresAt).map(({ id }) => id);
  const publish = findPublishReason(published, unexpired);
  if (publish !== undefined) {
    return withoutRecheck({ action: 'publish-ca-bundle', reason: publish });
  }
  // If the webhook configuration cannot be read, a new CA cannot be published, so the current CA stays in use.
  if (now >= getRenewalTime(newest) && published !== 'unknown') {
    return withoutRecheck({ action: 'issue-ca', reason: 'ca-due', keep: unexpired });
  }
  const isOfNewestCa = servingCertificate.issuerId === newest.id;
  const reissue = findReissueReason(servingCertificate, isOfNewestCa, now);
  if (
    reissue !== undefined &&
    (isOfNewestCa || isPropagated(published, newest.id, rules.apiServerPropagationMs))
  ) {
    return withoutRecheck({ action: 'reissue-certificate', reason: reissue });
  }
  const removeAt = isOfNewestCa
    ? lastOldCertificateExpiresAt(newest, servingCertificate, rules)
    : Number.POSITIVE_INFINITY;
  if (caCertificates.length > 1 && now >= removeAt) {
    return withoutRecheck({ action: 'remove-old-ca', reason: 'old-ca-unused', keep: [] });
  }
  if (unexpired.length < caCertificates.length) {
    const keep = unexpired.filter((id) => id !== newest.id);
    return withoutRecheck({ action: 'remove-old-ca', reason: 'old-ca-expired', keep });
  }
  const times = [
    getRenewalTime(newest),
    getRenewalTime(servingCertificate),
    servingCertificate.expiresAt,
    ...caCertificates.map(({ expiresAt }) => expiresAt),
    ...(caCertificates.length > 1 ? [removeAt] : []),
    propagatesAt(published, newest.id, now, rules.apiServerPropagationMs),
  ];
  const recheckAt = Math.min(...times.filter((time) => time > now));
  return { step: { action: 'none', reason: 'up-to-date' }, recheckAt };
}

function findServingCertificateProblem(
  stored: StoredCertificateFacts,
  now: number,
): RenewalReason | undefined {
  if (stored.servingCertificate === undefined || stored.servingCertificateProblem !== undefined) {
    return stored.servingCertificateProblem ?? 'serving-certificate-missing';
  }
  const ca = stored.caCertificates.find(({ id }) => id === stored.servingCertificate?.issuerId);
  if (ca === undefined) {
    return 'serving-certificate-unknown-ca';
  }
  return (
    findValidityProblem('serving-certificate', stored.servingCertificate, now) ??
    findValidityProblem('ca', ca, now)
  );
}

function findReissueReason(
  servingCertificate: ServingCertificateFacts,
  isOfNewestCa: boolean,
  now: number,
): RenewalReason | undefined {
  if (!isOfNewestCa) {
    return 'ca-changed';
  }
  if (servingCertificate.missingNames.length > 0) {
    return 'serving-certificate-names-missing';
  }
  return now >= getRenewalTime(servingCertificate) ? 'serving-certificate-due' : undefined;
}

/**
 * When the last certificate of an older CA has expired and no replica serves one. The last one was issued before the newest
 * CA, because a CA's key is discarded when the next CA is issued. If the configured lifetime was shortened since, such a
 * certificate may be valid for longer than `certificateLifetimeMs`, so every replica must also have had time to switch.
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

/** Plans the next step when neither the CA nor the certificate is usable. */
function planRecovery(observed: ObservedCertificates, reason: RenewalReason): PlannedStep {
  const keep = listRetainedCas(observed);
  return withoutRecheck({
    action: hasServingCertificateOf(keep, observed) ? 'issue-ca-and-restore-certificate' : 'create',
    reason,
    keep,
  });
}

/** Plans the next step when the CA is usable but the certificate is not. */
function planReissue(
  observed: ObservedCertificates,
  { caCertificates }: StoredCertificateFacts,
  reason: RenewalReason,
): PlannedStep {
  const valid = caCertificates.filter((ca) => isWithinValidity(ca, observed.now)).map(({ id }) => id);
  return withoutRecheck({
    action: hasServingCertificateOf(valid, observed) ? 'restore-certificate' : 'reissue-certificate',
    reason,
  });
}

/** Whether this process has a valid certificate of one of these CAs in memory. */
function hasServingCertificateOf(
  caCertificates: readonly string[],
  { served, now }: ObservedCertificates,
): boolean {
  const { issuerId: ca } = served ?? {};
  return (
    served !== undefined && ca !== undefined && caCertificates.includes(ca) && isWithinValidity(served, now)
  );
}

/** Lists the CAs to keep beside a new one, because a replica may still serve a certificate of theirs. */
function listRetainedCas({ stored, otherCaCertificates, now }: ObservedCertificates): string[] {
  const own = typeof stored === 'object' ? stored.caCertificates : [];
  const usable = [...own, ...otherCaCertificates].filter((ca) => isWithinValidity(ca, now));
  return [...new Set(usable.map(({ id }) => id))].slice(0, maxRetainedCas);
}

function withoutRecheck(step: Step): PlannedStep {
  return { step, recheckAt: Number.POSITIVE_INFINITY };
}
