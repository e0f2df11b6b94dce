import { setTimeout as wait } from 'node:timers/promises';
import { KubeError } from '../kube/errors.ts';
import type { Log } from '../telemetry/log.ts';
import { apiServerBackoff, tokenRetryMs } from '../util/backoff.ts';
import { type CaCertificate, formatCaBundle, PublicationTracker } from './ca-bundle.ts';
import { CertificateError } from './certificate-error.ts';
import { canServe, planNextStep, type RotationRules, type Step } from './certificate-policy.ts';
import { parseStored, type ServingCertificate, type StoredCertificates } from './certificate-secret.ts';
import type { ObservedCertificates } from './certificate-state.ts';
import { isRoutine, reasonTexts } from './certificate-state.ts';
import { type CertificateStore, type FoundObjects, isUnmanaged } from './certificate-store.ts';
import type { KeyPair } from './key-pair.ts';
import { type IssueRules, issueContent } from './renew-content.ts';

export interface CertificateReconcilerDependencies {
  readonly store: CertificateStore;
  readonly rules: IssueRules & RotationRules;
  /** Serves another pair than before; false: it could not be done. */
  serve(keyPair: KeyPair): boolean;
  /** Something that a person has to see to, though the work goes on. */
  onProblem(error: Error): void;
  now(): number;
  /** A clock in ms that is never set. */
  monotonicNow(): number;
  readonly log: Log;
}

/** Everything as it is now. */
interface ClusterState {
  readonly found: FoundObjects;
  readonly stored: StoredCertificates | undefined;
  readonly observed: ObservedCertificates;
  readonly known: ReadonlyMap<string, CaCertificate>;
}

/** A change of CA takes five steps; more than this in a row get us nowhere. */
const maxSteps = 12;

/** Replicas cannot lose a race more often in a row than there are of them. */
const maxConflicts = 6;

/** Two replicas whose clocks differ by a CA's life would make CAs in turn, for ever: so many are made in so many ms. */
const issueRateLimit = { times: 3, inMs: 15_000 };

const conflictCodes: ReadonlySet<string> = new Set(['conflict', 'invalid']);

/** Keeps Secret and caBundle in a good state, and says what is to be served. */
export class CertificateReconciler {
  readonly #dependencies: CertificateReconcilerDependencies;
  readonly #publicationTracker = new PublicationTracker();
  #current:
    | { readonly servingCertificate: ServingCertificate; readonly ca: CaCertificate | undefined }
    | undefined;
  #issuedAt: readonly number[] = [];
  #hasSucceeded = false;

  constructor(parts: CertificateReconcilerDependencies) {
    this.#dependencies = parts;
  }

  /** What is served; undefined before the first look that found or made a pair. */
  get current(): KeyPair | undefined {
    return this.#current?.servingCertificate.keyPair;
  }

  /**
   * Looks at everything, and does what is to be done, until nothing is.
   * @param signal ends it after the step that is under way
   * @returns when to look again, ms since the epoch
   * @throws KubeError, CertificateError
   */
  async reconcile(signal: AbortSignal): Promise<number> {
    let conflicts = 0;
    for (let steps = 0; steps < maxSteps && !signal.aborted; steps += 1) {
      const state = await this.#readState();
      this.#serve(state);
      const { step, recheckAt } = planNextStep(state.observed, this.#dependencies.rules);
      if (step.action === 'nothing') return this.#finish(step, recheckAt);
      if (this.#isIssuingTooOften(step))
        return state.observed.now + issueRateLimit.inMs / issueRateLimit.times;
      try {
        await this.#executeStep(step, state);
      } catch (error) {
        conflicts += 1;
        if (!(error instanceof KubeError) || !conflictCodes.has(error.code) || conflicts > maxConflicts)
          throw error;
        await wait(tokenRetryMs(apiServerBackoff, conflicts, Math.random()));
      }
    }
    return this.#dependencies.now();
  }

  async #readState(): Promise<ClusterState> {
    const { store, rules, now, monotonicNow, onProblem } = this.#dependencies;
    const found = await store.read();
    const { secret, configuration } = found;
    const unreadable = configuration instanceof Error;
    if (unreadable) onProblem(configuration);
    const { published, caCertificates } = this.#publicationTracker.recordBundles(
      unreadable ? 'unknown' : configuration?.caBundles,
      monotonicNow(),
    );
    const foreign = secret !== undefined && isUnmanaged(secret);
    const stored = secret === undefined || foreign ? undefined : parseStored(secret.data ?? {}, rules.names);
    const served = this.#current?.ca;
    const otherCaCertificates = [...(served === undefined ? [] : [served]), ...caCertificates];
    const known = new Map(
      [...otherCaCertificates, ...(stored?.caCertificates ?? [])].map((ca) => [ca.id, ca]),
    );
    const seen = {
      stored: stored ?? (foreign ? 'foreign' : 'none'),
      published,
      otherCaCertificates,
      served: this.#current?.servingCertificate,
      now: now(),
    } as const;
    return { found, stored, observed: seen, known };
  }

  #serve({ stored, observed, known }: ClusterState): void {
    const servingCertificate = stored?.servingCertificate;
    const current = this.#current?.servingCertificate;
    if (servingCertificate === undefined || servingCertificate.id === current?.id) return;
    if (!canServe(current, servingCertificate, observed, this.#dependencies.rules)) return;
    if (!this.#dependencies.serve(servingCertificate.keyPair)) return;
    this.#current = { servingCertificate, ca: known.get(servingCertificate.issuerId ?? '') };
  }

  #finish(step: Step, recheckAt: number): number {
    if (step.reason === 'foreign-secret') {
      throw new CertificateError(
        'foreign-secret',
        'the Secret for the certificates was made by somebody else, and is left as it is: delete it, or set certificates.secretName to another name, or certificates.source to files',
      );
    }
    this.#hasSucceeded = true;
    return recheckAt;
  }

  #isIssuingTooOften(step: Step): boolean {
    const now = this.#dependencies.monotonicNow();
    this.#issuedAt = this.#issuedAt.filter((at) => now - at < issueRateLimit.inMs);
    return issuesCa(step) && this.#issuedAt.length >= issueRateLimit.times;
  }

  async #executeStep(
    step: Exclude<Step, { action: 'nothing' }>,
    { found, stored, known }: ClusterState,
  ): Promise<void> {
    const { store, rules, now } = this.#dependencies;
    if (step.action !== 'publish') {
      await store.write(
        found,
        await issueContent(step, { stored, served: this.current, known }, rules, now()),
      );
    } else if (found.configuration !== undefined && !(found.configuration instanceof Error)) {
      const unexpired = (stored?.caCertificates ?? []).filter(({ expiresAt }) => now() <= expiresAt);
      await store.publishCaBundle(found.configuration, formatCaBundle(unexpired));
    }
    if (issuesCa(step)) this.#issuedAt = [...this.#issuedAt, this.#dependencies.monotonicNow()];
    this.#logStep(step);
  }

  /** What mends is a warning, but not while all is new. */
  #logStep({ action, reason }: Exclude<Step, { action: 'nothing' }>): void {
    const level = isRoutine(reason) || !this.#hasSucceeded ? 'info' : 'warn';
    this.#dependencies.log[level](
      { action, reason },
      `certificates: ${actionTexts[action]}, because ${reasonTexts[reason]}`,
    );
  }
}

function issuesCa({ action }: Step): boolean {
  return action === 'create' || action === 'new-authority' || action === 'recover';
}

const actionTexts = {
  create: 'a new CA and a new certificate were made',
  'new-authority': 'a new CA was made',
  recover: 'a new CA was made, and the certificate in use was stored again',
  'restore-leaf': 'the certificate in use was stored again',
  'reissue-leaf': 'a new certificate was made',
  'drop-old-authority': 'old CAs were dropped',
  publish: 'the CAs were put into the webhook configuration',
} as const;
