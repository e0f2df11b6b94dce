import { randomBytes } from 'node:crypto';
import type { Config } from '../config/schema.ts';
import { type ClusterConfig, getOwnNamespace } from '../kube/client.ts';
import type { Log } from '../telemetry/log.ts';
import { apiServerBackoff, tokenRetryMs } from '../util/backoff.ts';
import { CertificateError } from './certificate-error.ts';
import { type CertificateLocation, CertificateStore } from './certificate-store.ts';
import { getServiceDnsNames } from './issue.ts';
import type { KeyPair } from './key-pair.ts';
import { CertificateReconciler } from './reconciler.ts';
import type { IssueRules } from './renew-content.ts';

export interface ManagedCertificatesDependencies {
  readonly cluster: ClusterConfig;
  readonly location: CertificateLocation;
  readonly issueRules: IssueRules;
  /** A new pair to serve. Called for changes only, not for the pair that open() found. */
  readonly onChange: (keyPair: KeyPair) => void;
  readonly log: Log;
  /** The wall clock in ms. */
  readonly now: () => number;
  readonly timing?: Partial<ReconcileTiming>;
}

/** All in ms. */
export interface ReconcileTiming {
  /** How long a new CA stands in the bundle before it is used: API servers see it within one. Default 30 s. */
  readonly apiServerPropagationMs: number;
  /** How long it takes until every replica serves what the Secret holds. Default 1 min: they follow the Secret. */
  readonly replicaPropagationMs: number;
  /** How often to look at the clock. Default 1 s. */
  readonly tickMs: number;
  /** How often to look at everything though nothing was told. Default 1 min. */
  readonly pollMs: number;
}

const defaultTiming: ReconcileTiming = {
  apiServerPropagationMs: 30_000,
  replicaPropagationMs: 60_000,
  tickMs: 1_000,
  pollMs: 60_000,
};

/**
 * A certificate of our own making, kept in a Secret that all replicas share, whose CA is kept in the webhook
 * configuration. Looks when one of the two changes, when the policy asks for it, and at every poll. Whatever fails is
 * tried again, and the last pair stays.
 */
export class ManagedCertificates {
  readonly #options: ManagedCertificatesDependencies;
  readonly #timing: ReconcileTiming;
  readonly #reconciler: CertificateReconciler;
  readonly #stop = new AbortController();
  readonly #firstKeyPair = Promise.withResolvers<void>();
  readonly #stopWatches: () => Promise<void>;
  readonly #timer: NodeJS.Timeout;
  #reconciling: Promise<void> | undefined;
  #isRequested = false;
  #recheckAt = Number.POSITIVE_INFINITY;
  #lastWallMs = Number.NEGATIVE_INFINITY;
  #reconciledAt = 0;
  #failures = 0;
  #retryAt = 0;
  #reportedProblems = new Set<string>();
  #currentProblems = new Set<string>();

  /** Resolves once there is a pair to serve, however long that takes. Until then, problems are in the log. */
  static async open(options: ManagedCertificatesDependencies): Promise<ManagedCertificates> {
    const managed = new ManagedCertificates(options);
    await managed.#firstKeyPair.promise;
    return managed;
  }

  private constructor(options: ManagedCertificatesDependencies) {
    const { cluster, location, issueRules, log, now } = options;
    this.#options = options;
    this.#timing = { ...defaultTiming, ...options.timing };
    const store = new CertificateStore(cluster, location, randomBytes(4).toString('hex'));
    this.#reconciler = new CertificateReconciler({
      store,
      rules: {
        ...issueRules,
        apiServerPropagationMs: this.#timing.apiServerPropagationMs,
        replicaPropagationMs: this.#timing.replicaPropagationMs,
      },
      serve: (keyPair) => this.#serve(keyPair),
      onProblem: (error) => this.#reportProblem(error),
      now,
      monotonicNow: () => performance.now(),
      log,
    });
    const broken = new Set<string>();
    this.#stopWatches = store.watch(
      () => this.#requestReconcile(),
      (error) => {
        const level = broken.has(error.message) ? 'debug' : 'warn';
        broken.add(error.message);
        log[level]({ err: error }, 'a watch for the certificates broke; it is taken up again');
      },
      (error) => log.warn({ err: error }, 'skipped an object that cannot be parsed'),
    );
    this.#timer = setInterval(() => this.#checkClock(), this.#timing.tickMs);
    this.#requestReconcile();
  }

  /** The pair to serve now. */
  get current(): KeyPair {
    const { current } = this.#reconciler;
    if (current === undefined) throw new Error('there is a pair once open() has resolved');
    return current;
  }

  /** What was wrong at the last look, in words; nothing: Secret and caBundle are as they should be. */
  problems(): readonly string[] {
    return [...this.#reportedProblems];
  }

  /** Ends everything, and resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.#stop.abort();
    clearInterval(this.#timer);
    await this.#stopWatches();
    await this.#reconciling;
  }

  #checkClock(): void {
    const wallMs = this.#options.now();
    const monotonicMs = performance.now();
    const wasSetBack = wallMs < this.#lastWallMs;
    this.#lastWallMs = wallMs;
    if (this.#failures > 0) {
      if (monotonicMs >= this.#retryAt) this.#requestReconcile();
    } else if (
      wasSetBack ||
      wallMs >= this.#recheckAt ||
      monotonicMs - this.#reconciledAt >= this.#timing.pollMs
    ) {
      this.#requestReconcile();
    }
  }

  // One look at a time; what happens during a look makes another one.
  #requestReconcile(): void {
    this.#isRequested = true;
    this.#reconciling ??= this.#reconcileUntilIdle();
  }

  async #reconcileUntilIdle(): Promise<void> {
    while (this.#isRequested && !this.#stop.signal.aborted) {
      this.#isRequested = false;
      await this.#reconcile();
    }
    this.#reconciling = undefined;
  }

  async #reconcile(): Promise<void> {
    this.#currentProblems = new Set();
    try {
      this.#recheckAt = await this.#reconciler.reconcile(this.#stop.signal);
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      this.#retryAt = performance.now() + tokenRetryMs(apiServerBackoff, this.#failures, Math.random());
      if (!this.#stop.signal.aborted) this.#reportProblem(error);
    }
    this.#reportedProblems = this.#currentProblems;
    this.#reconciledAt = performance.now();
    if (this.#reconciler.current !== undefined) this.#firstKeyPair.resolve();
  }

  /** Once for each problem in a row, not once for each look. */
  #reportProblem(error: unknown): void {
    const problem = error instanceof Error ? error.message : String(error);
    if (!this.#reportedProblems.has(problem) && !this.#currentProblems.has(problem)) {
      this.#options.log.error({ err: error }, 'certificates: something is not as it should be');
    }
    this.#currentProblems.add(problem);
  }

  #serve(keyPair: KeyPair): boolean {
    if (this.#reconciler.current === undefined) return true;
    try {
      this.#options.onChange(keyPair);
      return true;
    } catch (cause) {
      const message = 'the new certificate could not be put to use';
      this.#reportProblem(new CertificateError('not-taken', message, undefined, cause));
      return false;
    }
  }
}

/**
 * How long it takes until every replica serves a mounted certificate, ms: a kubelet updates a mounted Secret within one
 * to two minutes (its sync period and the delay of its cache), and the program reads the files every ten seconds.
 */
export const mountedPropagationMs = 300_000;

/**
 * What an operator has set of managed certificates, as {@link ManagedCertificates} takes it.
 * @throws {CertificateError} no-namespace
 */
export function resolveManagedSettings(
  { certificates }: Pick<Config, 'certificates'>,
  cluster: ClusterConfig,
): Pick<ManagedCertificatesDependencies, 'location' | 'issueRules'> {
  const { secretName, webhookConfiguration, service, dnsNames, ipAddresses } = certificates;
  const namespace = certificates.namespace ?? getOwnNamespace(cluster);
  if (namespace === undefined) {
    throw new CertificateError(
      'no-namespace',
      'certificates.namespace is not set, and neither a pod nor the context of a kubeconfig says where we run',
    );
  }
  return {
    location: { namespace, secretName, webhookConfiguration },
    issueRules: {
      names: [...getServiceDnsNames(service, namespace), ...dnsNames, ...ipAddresses],
      caLifetimeMs: certificates.authorityLife,
      certificateLifetimeMs: certificates.leafLife,
    },
  };
}
