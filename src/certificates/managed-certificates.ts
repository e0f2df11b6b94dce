import { randomBytes } from 'node:crypto';
import type { Config } from '../config/schema.ts';
import { type ClusterConfig, ownNamespace } from '../kube/client.ts';
import type { Log } from '../telemetry/log.ts';
import { apiServerBackoff, backoffMs } from '../util/backoff.ts';
import { CertificateError } from './certificate-error.ts';
import { CertificateStore, type Place } from './certificate-store.ts';
import { serviceNames } from './issue.ts';
import type { CertificatePair } from './key-pair.ts';
import { Keeper } from './reconciler.ts';
import type { MakingRules } from './renew-content.ts';

export interface ManagedCertificatesOptions {
  readonly cluster: ClusterConfig;
  readonly place: Place;
  readonly making: MakingRules;
  /** A new pair to serve. Called for changes only, not for the pair that open() found. */
  readonly onChange: (pair: CertificatePair) => void;
  readonly log: Log;
  /** The wall clock in ms. */
  readonly now: () => number;
  readonly timing?: Partial<Timing>;
}

/** All in ms. */
export interface Timing {
  /** How long a new CA stands in the bundle before it is used: API servers see it within one. Default 30 s. */
  readonly settleMs: number;
  /** How long it takes until every replica serves what the Secret holds. Default 1 min: they follow the Secret. */
  readonly spreadMs: number;
  /** How often to look at the clock. Default 1 s. */
  readonly tickMs: number;
  /** How often to look at everything though nothing was told. Default 1 min. */
  readonly pollMs: number;
}

const usualTiming: Timing = { settleMs: 30_000, spreadMs: 60_000, tickMs: 1_000, pollMs: 60_000 };

/**
 * A certificate of our own making, kept in a Secret that all replicas share, whose CA is kept in the webhook
 * configuration. Looks when one of the two changes, when the policy asks for it, and at every poll. Whatever fails is
 * tried again, and the last pair stays.
 */
export class ManagedCertificates {
  readonly #options: ManagedCertificatesOptions;
  readonly #timing: Timing;
  readonly #keeper: Keeper;
  readonly #stop = new AbortController();
  readonly #first = Promise.withResolvers<void>();
  readonly #endWatch: () => Promise<void>;
  readonly #tick: NodeJS.Timeout;
  #looking: Promise<void> | undefined;
  #askedAgain = false;
  #nextAt = Number.POSITIVE_INFINITY;
  #wall = Number.NEGATIVE_INFINITY;
  #lookedAt = 0;
  #failures = 0;
  #retryAt = 0;
  #told = new Set<string>();
  #tellings = new Set<string>();

  /** Resolves once there is a pair to serve, however long that takes. Until then, problems are in the log. */
  static async open(options: ManagedCertificatesOptions): Promise<ManagedCertificates> {
    const managed = new ManagedCertificates(options);
    await managed.#first.promise;
    return managed;
  }

  private constructor(options: ManagedCertificatesOptions) {
    const { cluster, place, making, log, now } = options;
    this.#options = options;
    this.#timing = { ...usualTiming, ...options.timing };
    const store = new CertificateStore(cluster, place, randomBytes(4).toString('hex'));
    this.#keeper = new Keeper({
      store,
      rules: { ...making, settleMs: this.#timing.settleMs, spreadMs: this.#timing.spreadMs },
      serve: (pair) => this.#serve(pair),
      onProblem: (error) => this.#tell(error),
      now,
      steady: () => performance.now(),
      log,
    });
    const broken = new Set<string>();
    this.#endWatch = store.watch(
      () => this.#ask(),
      (error) => {
        const level = broken.has(error.message) ? 'debug' : 'warn';
        broken.add(error.message);
        log[level]({ err: error }, 'a watch for the certificates broke; it is taken up again');
      },
      (error) => log.warn({ err: error }, 'skipped an object that cannot be parsed'),
    );
    this.#tick = setInterval(() => this.#lookAtClock(), this.#timing.tickMs);
    this.#ask();
  }

  /** The pair to serve now. */
  get current(): CertificatePair {
    const { current } = this.#keeper;
    if (current === undefined) throw new Error('there is a pair once open() has resolved');
    return current;
  }

  /** What was wrong at the last look, in words; nothing: Secret and caBundle are as they should be. */
  problems(): readonly string[] {
    return [...this.#told];
  }

  /** Ends everything, and resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.#stop.abort();
    clearInterval(this.#tick);
    await this.#endWatch();
    await this.#looking;
  }

  #lookAtClock(): void {
    const wall = this.#options.now();
    const steady = performance.now();
    const setBack = wall < this.#wall;
    this.#wall = wall;
    if (this.#failures > 0) {
      if (steady >= this.#retryAt) this.#ask();
    } else if (setBack || wall >= this.#nextAt || steady - this.#lookedAt >= this.#timing.pollMs) {
      this.#ask();
    }
  }

  // One look at a time; what happens during a look makes another one.
  #ask(): void {
    this.#askedAgain = true;
    this.#looking ??= this.#lookUntilQuiet();
  }

  async #lookUntilQuiet(): Promise<void> {
    while (this.#askedAgain && !this.#stop.signal.aborted) {
      this.#askedAgain = false;
      await this.#look();
    }
    this.#looking = undefined;
  }

  async #look(): Promise<void> {
    this.#tellings = new Set();
    try {
      this.#nextAt = await this.#keeper.look(this.#stop.signal);
      this.#failures = 0;
    } catch (error) {
      this.#failures += 1;
      this.#retryAt = performance.now() + backoffMs(apiServerBackoff, this.#failures, Math.random());
      if (!this.#stop.signal.aborted) this.#tell(error);
    }
    this.#told = this.#tellings;
    this.#lookedAt = performance.now();
    if (this.#keeper.current !== undefined) this.#first.resolve();
  }

  /** Once for each problem in a row, not once for each look. */
  #tell(error: unknown): void {
    const problem = error instanceof Error ? error.message : String(error);
    if (!this.#told.has(problem) && !this.#tellings.has(problem)) {
      this.#options.log.error({ err: error }, 'certificates: something is not as it should be');
    }
    this.#tellings.add(problem);
  }

  #serve(pair: CertificatePair): boolean {
    if (this.#keeper.current === undefined) return true;
    try {
      this.#options.onChange(pair);
      return true;
    } catch (cause) {
      const message = 'the new certificate could not be put to use';
      this.#tell(new CertificateError('not-taken', message, undefined, cause));
      return false;
    }
  }
}

/**
 * How long it takes until every replica serves a mounted certificate, ms: a kubelet updates a mounted Secret within one
 * to two minutes (its sync period and the delay of its cache), and the program reads the files every ten seconds.
 */
export const mountedSpreadMs = 300_000;

/**
 * What an operator has set of managed certificates, as {@link ManagedCertificates} takes it.
 * @throws {CertificateError} no-namespace
 */
export function managedSettings(
  { certificates }: Pick<Config, 'certificates'>,
  cluster: ClusterConfig,
): Pick<ManagedCertificatesOptions, 'place' | 'making'> {
  const { secretName, webhookConfiguration, service, dnsNames, ipAddresses } = certificates;
  const namespace = certificates.namespace ?? ownNamespace(cluster);
  if (namespace === undefined) {
    throw new CertificateError(
      'no-namespace',
      'certificates.namespace is not set, and neither a pod nor the context of a kubeconfig says where we run',
    );
  }
  return {
    place: { namespace, secretName, webhookConfiguration },
    making: {
      names: [...serviceNames(service, namespace), ...dnsNames, ...ipAddresses],
      authorityLifeMs: certificates.authorityLife,
      leafLifeMs: certificates.leafLife,
    },
  };
}
