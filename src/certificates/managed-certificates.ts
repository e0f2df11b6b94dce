// Managed certificates: reconciles on every change, retries failures, and hands out the current key pair.
import { randomBytes } from 'node:crypto';
import type { Config } from '../config/schema.ts';
import { type ClusterConfig, getOwnNamespace } from '../kube/client.ts';
import type { Log } from '../telemetry/log.ts';
import { apiServerBackoff, backoffMs } from '../util/backoff.ts';
import { CertificateError } from './certificate-error.ts';
import { type CertificateLocation, CertificateStore } from './certificate-store.ts';
import { getServiceDnsNames } from './issue.ts';
import type { KeyPair } from './key-pair.ts';
import { CertificateReconciler } from './reconciler.ts';
import type { IssueRules } from './secret-content.ts';

/** Dependencies of {@link ManagedCertificates}. */
export interface ManagedCertificatesDependencies {
  readonly cluster: ClusterConfig;
  readonly location: CertificateLocation;
  readonly issueRules: IssueRules;
  /** Called with each new key pair to serve, but not with the initial one. */
  readonly onChange: (keyPair: KeyPair) => void;
  readonly log: Log;
  /** The wall clock, in ms since the epoch. */
  readonly now: () => number;
  readonly timing?: Partial<ReconcileTiming>;
  /** Stops it like {@link ManagedCertificates.close}, also before `open` has resolved, which then never resolves. */
  readonly signal?: AbortSignal;
}

/** Intervals and delays, in ms. */
export interface ReconcileTiming {
  /** How long a new CA must be published before it is used. API servers receive it within about 1 s. Default 30 s. */
  readonly apiServerPropagationMs: number;
  /** How long it takes until every replica serves the certificate in the Secret, which they watch. Default 1 min. */
  readonly replicaPropagationMs: number;
  /** Interval of clock checks. Default 1 s. */
  readonly tickMs: number;
  /** Maximum interval between reconciliations. Default 1 min. */
  readonly pollMs: number;
}

const defaultTiming: ReconcileTiming = {
  apiServerPropagationMs: 30_000,
  replicaPropagationMs: 60_000,
  tickMs: 1_000,
  pollMs: 60_000,
};

/**
 * A serving certificate that this program issues and renews. It is stored in a Secret that all replicas share, and its CA is
 * published in the webhook configuration. Reconciles when one of the two changes, when the policy asks for it, and at a fixed
 * interval. Failures are retried with backoff while the last key pair stays in use.
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

  /** Resolves when there is a key pair to serve, however long that takes. Meanwhile, problems are logged. */
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
    const reportedWatchErrors = new Set<string>();
    this.#stopWatches = store.watch(
      () => this.#requestReconcile(),
      (error, phase) => {
        const level = reportedWatchErrors.has(error.message) ? 'debug' : 'warn';
        reportedWatchErrors.add(error.message);
        if (phase === 'list') {
          log[level]({ err: error }, 'failed to read objects of managed certificates; will retry');
        } else {
          log[level]({ err: error }, 'watch for managed certificates failed; reconnecting');
        }
      },
      (error) => log.warn({ err: error }, 'skipped an object that cannot be parsed'),
    );
    this.#timer = setInterval(() => this.#checkClock(), this.#timing.tickMs);
    options.signal?.addEventListener('abort', () => void this.close(), { once: true });
    if (options.signal?.aborted === true) {
      void this.close();
    }
    this.#requestReconcile();
  }

  /** The key pair to serve. */
  get current(): KeyPair {
    const { current } = this.#reconciler;
    if (current === undefined) {
      throw new Error('no key pair before open() has resolved');
    }
    return current;
  }

  /** Messages of the problems found by the last reconciliation; empty if the Secret and the caBundles are up to date. */
  problems(): readonly string[] {
    return [...this.#reportedProblems];
  }

  /** Stops all watches and timers. Resolves when no call is in flight. */
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
      if (monotonicMs >= this.#retryAt) {
        this.#requestReconcile();
      }
    } else if (
      wasSetBack ||
      wallMs >= this.#recheckAt ||
      monotonicMs - this.#reconciledAt >= this.#timing.pollMs
    ) {
      this.#requestReconcile();
    }
  }

  // One reconciliation at a time. A change during a reconciliation triggers another one.
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
      this.#retryAt = performance.now() + backoffMs(apiServerBackoff, this.#failures, Math.random());
      if (!this.#stop.signal.aborted) {
        this.#reportProblem(error);
      }
    }
    this.#reportedProblems = this.#currentProblems;
    this.#reconciledAt = performance.now();
    if (this.#reconciler.current !== undefined) {
      this.#firstKeyPair.resolve();
    }
  }

  /** Logs a problem, unless the previous reconciliation had it too. */
  #reportProblem(error: unknown): void {
    const problem = error instanceof Error ? error.message : String(error);
    if (!this.#reportedProblems.has(problem) && !this.#currentProblems.has(problem)) {
      this.#options.log.error({ err: error }, 'failed to reconcile managed certificates');
    }
    this.#currentProblems.add(problem);
  }

  #serve(keyPair: KeyPair): boolean {
    if (this.#reconciler.current === undefined) {
      return true;
    }
    try {
      this.#options.onChange(keyPair);
      return true;
    } catch (cause) {
      const message = 'the new certificate could not be applied';
      this.#reportProblem(new CertificateError('not-applied', message, undefined, cause));
      return false;
    }
  }
}

/**
 * How long it takes until every replica serves a certificate mounted from the Secret, in ms. A kubelet updates a mounted
 * Secret within one to two minutes (its sync period plus the delay of its cache), and the program reads the files every ten
 * seconds.
 */
export const mountedPropagationMs = 300_000;

/**
 * Derives the dependencies of {@link ManagedCertificates} from the configuration.
 * @throws {CertificateError} with code `no-namespace`
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
      'certificates.namespace is required, because neither the pod nor the context of the kubeconfig names a namespace',
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
