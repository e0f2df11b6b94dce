// Brings the labels and annotations of existing pull Secrets to the operator's settings, once per process.
import { KubeError } from '../kube/errors.ts';
import type { Log } from '../telemetry/log.ts';
import { createRateLimit } from '../util/rate-limit.ts';
import { retry } from '../util/retry.ts';
import { isManagedSecret } from './apply.ts';
import { findMetadataChange, type OperatorMetadata } from './operator-metadata.ts';
import type { SecretCache } from './secret-cache.ts';
import type { MetadataStore } from './secret-store.ts';
import { retryDelayMs } from './write-retries.ts';

/**
 * How long after the start the Secrets are changed, in ms. In a rolling update, the replicas with the old settings have ended by
 * then, so that two settings do not alternate.
 */
const startDelayMs = 240_000;

export interface MetadataRolloutDependencies {
  readonly store: MetadataStore;
  readonly secretCache: SecretCache;
  readonly wanted: OperatorMetadata;
  /** Secrets changed per second. */
  readonly perSecond: number;
  readonly log: Log;
  /** Counts a write by its outcome: `updated`, or the code of the error. */
  countWrite(outcome: string): void;
  /** Whether to retry for up to a minute, for commands that exit. */
  readonly isPersistent?: boolean | undefined;
}

/**
 * Every write of a token sets the operator's labels and annotations too. This is for the time until then, and for those that were
 * removed from the settings. A Secret is changed at most once per process, so another controller that changes the same keys causes
 * no endless sequence of writes.
 */
export class MetadataRollout {
  readonly #dependencies: MetadataRolloutDependencies;
  readonly #abort = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #run: Promise<unknown> | undefined;

  constructor(dependencies: MetadataRolloutDependencies) {
    this.#dependencies = dependencies;
  }

  /** Changes the Secrets after a delay, once. */
  start(delayMs = startDelayMs): void {
    this.#timer = setTimeout(() => void this.run(), delayMs).unref();
  }

  /** Starts no further write, and resolves when the write in flight has ended. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#abort.abort();
    await this.#run;
  }

  /**
   * Changes every cached managed Secret whose metadata is outdated. A failure in one namespace does not affect the others; it is
   * logged, and tried again when the process starts the next time.
   * @param signal aborted: starts no further write
   * @returns the error of each namespace whose Secret could not be changed
   */
  run(signal = this.#abort.signal): Promise<ReadonlyMap<string, unknown>> {
    const run = this.#changeAll(signal);
    this.#run = run;
    return run;
  }

  async #changeAll(signal: AbortSignal): Promise<ReadonlyMap<string, unknown>> {
    const { secretCache, perSecond, log } = this.#dependencies;
    const outdated = [...secretCache.entries()].flatMap(([namespace, secret]) =>
      secret.isManaged && secret.hasOutdatedMetadata === true ? [namespace] : [],
    );
    const waitForTurn = createRateLimit(perSecond, () => performance.now());
    const failures = new Map<string, unknown>();
    let changed = 0;
    for (const namespace of outdated) {
      await waitForTurn();
      if (signal.aborted) {
        return failures;
      }
      try {
        changed += (await this.#changeWithRetries(namespace)) ? 1 : 0;
      } catch (error) {
        failures.set(namespace, error);
        log.warn({ namespace, err: error }, 'failed to set the labels and annotations of the pull Secret');
      }
    }
    if (outdated.length > 0) {
      log.info({ secretCount: changed }, 'set the labels and annotations of pull Secrets');
    }
    return failures;
  }

  #changeWithRetries(namespace: string): Promise<boolean> {
    const { countWrite, isPersistent } = this.#dependencies;
    return retry(
      () => this.#changeOne(namespace),
      (error, attempts, elapsedMs) => {
        countWrite(error instanceof KubeError ? error.code : 'internal-error');
        return retryDelayMs(error, attempts, elapsedMs, Math.random(), isPersistent);
      },
    );
  }

  /** @returns whether the Secret was changed; another replica may have been faster */
  async #changeOne(namespace: string): Promise<boolean> {
    const { store, secretCache, wanted, countWrite } = this.#dependencies;
    const secret = await store.read(namespace);
    if (secret === undefined || !isManagedSecret(secret)) {
      return false;
    }
    const change = findMetadataChange({ ...secret.metadata, fieldOwners: secret.fieldOwners }, wanted);
    if (change === undefined) {
      return false;
    }
    const stored = await store.changeMetadata(secret, change);
    countWrite('updated');
    secretCache.updateFromRead(stored, isManagedSecret(stored));
    return true;
  }
}
