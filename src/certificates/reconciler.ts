// Reconciles the certificate Secret and the caBundles with the certificate policy, and decides which key pair to serve.
import { setTimeout as wait } from 'node:timers/promises';
import { KubeError } from '../kube/errors.ts';
import type { Log } from '../telemetry/log.ts';
import { apiServerBackoff, backoffMs } from '../util/backoff.ts';
import { type CaCertificate, formatCaBundle, PublicationTracker } from './ca-bundle.ts';
import { CertificateError } from './certificate-error.ts';
import { canServe, planNextStep, type RotationRules, type Step } from './certificate-policy.ts';
import { parseStored, type ServingCertificate, type StoredCertificates } from './certificate-secret.ts';
import type { ObservedCertificates } from './certificate-state.ts';
import { isRotation, reasonTexts } from './certificate-state.ts';
import { type CertificateStore, type FoundObjects, isUnmanaged } from './certificate-store.ts';
import type { KeyPair } from './key-pair.ts';
import { type IssueRules, issueContent } from './secret-content.ts';

/** Dependencies of {@link CertificateReconciler}. */
export interface CertificateReconcilerDependencies {
  readonly store: CertificateStore;
  readonly rules: IssueRules & RotationRules;
  /** Serves another key pair from now on. Returns false if that failed. */
  serve(keyPair: KeyPair): boolean;
  /** Reports a problem that needs the operator's attention but does not stop the reconciliation. */
  onProblem(error: Error): void;
  /** The wall clock, in ms since the epoch. */
  now(): number;
  /** A monotonic clock, in ms. */
  monotonicNow(): number;
  readonly log: Log;
}

/** The state of the cluster at one moment. */
interface ClusterState {
  readonly found: FoundObjects;
  readonly stored: StoredCertificates | undefined;
  readonly observed: ObservedCertificates;
  /** Id → CA certificate, for all CAs in the Secret, in a caBundle or in use by this process. */
  readonly known: ReadonlyMap<string, CaCertificate>;
}

/** Maximum number of steps in one reconciliation. A CA rotation takes five. */
const maxSteps = 12;

/** Maximum number of conflicts in one reconciliation: more than there are replicas to lose a race against. */
const maxConflicts = 6;

/**
 * Maximum number of CAs that one process issues per interval. Without it, two replicas whose clocks differ by the lifetime of
 * a CA would replace each other's CA endlessly.
 */
const issueRateLimit = { maxCas: 3, intervalMs: 15_000 };

const conflictCodes: ReadonlySet<string> = new Set(['conflict', 'invalid']);

/** Keeps the certificate Secret and the caBundles in the desired state, and hands the key pair to serve to its owner. */
export class CertificateReconciler {
  readonly #dependencies: CertificateReconcilerDependencies;
  readonly #publicationTracker = new PublicationTracker();
  #current:
    | { readonly servingCertificate: ServingCertificate; readonly ca: CaCertificate | undefined }
    | undefined;
  #issuedAt: readonly number[] = [];
  #hasSucceeded = false;

  constructor(dependencies: CertificateReconcilerDependencies) {
    this.#dependencies = dependencies;
  }

  /** The key pair that is served; undefined until one has been found or issued. */
  get current(): KeyPair | undefined {
    return this.#current?.servingCertificate.keyPair;
  }

  /**
   * Executes the steps that the policy plans, until none is left.
   * @param signal stops it after the current step
   * @returns when to reconcile again, in ms since the epoch
   * @throws {KubeError} for a failed call to the API server
   * @throws {CertificateError} with code `unmanaged-secret`
   */
  async reconcile(signal: AbortSignal): Promise<number> {
    let conflicts = 0;
    for (let steps = 0; steps < maxSteps && !signal.aborted; steps += 1) {
      const state = await this.#readState();
      this.#serve(state);
      const { step, recheckAt } = planNextStep(state.observed, this.#dependencies.rules);
      if (step.action === 'none') {
        return this.#finish(step, recheckAt);
      }
      if (this.#isIssuingTooOften(step)) {
        return state.observed.now + issueRateLimit.intervalMs / issueRateLimit.maxCas;
      }
      try {
        await this.#executeStep(step, state);
      } catch (error) {
        conflicts += 1;
        if (!(error instanceof KubeError) || !conflictCodes.has(error.code) || conflicts > maxConflicts) {
          throw error;
        }
        await wait(backoffMs(apiServerBackoff, conflicts, Math.random()));
      }
    }
    return this.#dependencies.now();
  }

  async #readState(): Promise<ClusterState> {
    const { store, rules, now, monotonicNow, onProblem } = this.#dependencies;
    const found = await store.read();
    const { secret, configuration } = found;
    const isForbidden = configuration instanceof Error;
    if (isForbidden) {
      onProblem(configuration);
    }
    const { published, caCertificates } = this.#publicationTracker.recordBundles(
      isForbidden ? 'unknown' : configuration?.caBundles,
      monotonicNow(),
    );
    const hasUnmanagedSecret = secret !== undefined && isUnmanaged(secret);
    const stored =
      secret === undefined || hasUnmanagedSecret ? undefined : parseStored(secret.data ?? {}, rules.names);
    const served = this.#current?.ca;
    const otherCaCertificates = [...(served === undefined ? [] : [served]), ...caCertificates];
    const known = new Map(
      [...otherCaCertificates, ...(stored?.caCertificates ?? [])].map((ca) => [ca.id, ca]),
    );
    const observed = {
      stored: stored ?? (hasUnmanagedSecret ? 'unmanaged' : 'none'),
      published,
      otherCaCertificates,
      served: this.#current?.servingCertificate,
      now: now(),
    } as const;
    return { found, stored, observed, known };
  }

  #serve({ stored, observed, known }: ClusterState): void {
    const servingCertificate = stored?.servingCertificate;
    const current = this.#current?.servingCertificate;
    if (servingCertificate === undefined || servingCertificate.id === current?.id) {
      return;
    }
    if (!canServe(current, servingCertificate, observed, this.#dependencies.rules)) {
      return;
    }
    if (!this.#dependencies.serve(servingCertificate.keyPair)) {
      return;
    }
    this.#current = { servingCertificate, ca: known.get(servingCertificate.issuerId ?? '') };
  }

  #finish(step: Step, recheckAt: number): number {
    if (step.reason === 'unmanaged-secret') {
      throw new CertificateError(
        'unmanaged-secret',
        `Secret ${this.#dependencies.store.secretId} for the certificates exists but is not managed by ecr-pull-secrets; delete it, set certificates.secretName to another name, or set certificates.source to files`,
      );
    }
    this.#hasSucceeded = true;
    return recheckAt;
  }

  #isIssuingTooOften(step: Step): boolean {
    const now = this.#dependencies.monotonicNow();
    this.#issuedAt = this.#issuedAt.filter((at) => now - at < issueRateLimit.intervalMs);
    return issuesCa(step) && this.#issuedAt.length >= issueRateLimit.maxCas;
  }

  async #executeStep(
    step: Exclude<Step, { action: 'none' }>,
    { found, stored, known }: ClusterState,
  ): Promise<void> {
    const { store, rules, now } = this.#dependencies;
    if (step.action !== 'publish-ca-bundle') {
      await store.write(
        found,
        await issueContent(step, { stored, served: this.current, known }, rules, now()),
      );
    } else if (found.configuration !== undefined && !(found.configuration instanceof Error)) {
      const unexpired = (stored?.caCertificates ?? []).filter(({ expiresAt }) => now() <= expiresAt);
      await store.publishCaBundle(found.configuration, formatCaBundle(unexpired));
    }
    if (issuesCa(step)) {
      this.#issuedAt = [...this.#issuedAt, this.#dependencies.monotonicNow()];
    }
    this.#logStep(step);
  }

  /** Logs a repair as a warning, except before the first success, when nothing exists yet. */
  #logStep({ action, reason }: Exclude<Step, { action: 'none' }>): void {
    const { log } = this.#dependencies;
    const fields = { action, reason, cause: reasonTexts[reason] };
    if (isRotation(reason) || !this.#hasSucceeded) {
      log.info(fields, 'updated managed certificates');
    } else {
      log.warn(fields, 'repaired managed certificates');
    }
  }
}

function issuesCa({ action }: Step): boolean {
  return action === 'create' || action === 'issue-ca' || action === 'issue-ca-and-restore-certificate';
}
