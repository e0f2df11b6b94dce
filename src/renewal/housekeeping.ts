// Removes hosts that no pod needs any more from Secrets, and adds hosts for which a Secret was full.
import { type RegistryResolver, resolveRegistries } from '../ecr/registry.ts';
import type { PullSecrets } from '../pull-secrets/ensure.ts';
import type { PodHostLister } from '../pull-secrets/hosts-in-use.ts';
import type { MissingHosts } from '../pull-secrets/missing-hosts.ts';
import type { SecretCache } from '../pull-secrets/secret-cache.ts';
import type { UnstoredHosts } from '../pull-secrets/unstored-hosts.ts';
import type { Log } from '../telemetry/log.ts';
import { createSlotLimit, type SlotLimit } from '../util/slot-limit.ts';
import { isForgettable } from './forget-policy.ts';
import { UnstoredHostChecker } from './unstored-pod-checks.ts';

/** A Secret that is full although a pod requests another host. */
export interface FullSecret {
  readonly namespace: string;
  /** Hosts that could not be added. */
  readonly hosts: readonly string[];
  /** Number of hosts in the Secret. */
  readonly stored: number;
  /** Listing the pods of the namespace is forbidden, so it is unknown which hosts are unused. */
  readonly forbidden: boolean;
}

export interface HousekeepingDependencies {
  readonly secretCache: SecretCache;
  readonly secrets: Pick<PullSecrets, 'ensure'>;
  readonly resolveRegistry: RegistryResolver;
  readonly missing: MissingHosts;
  readonly unstored: UnstoredHosts;
  readonly pods: Pick<PodHostLister, 'listHosts' | 'listPodHosts' | 'isForbidden'>;
  /** Whether the operator configured the host (`provisioning.registries`). */
  isConfigured(host: string): boolean;
  /** Whether a rule denies a namespace the tokens of a host. */
  isDenied(namespace: string, host: string): boolean;
  /** @throws {UnmanagedSecretError | KubeError} */
  forgetHosts(namespace: string): Promise<void>;
  readonly forgetAfterMs: number;
  /** Identifies this replica. */
  readonly replica: string;
  /** The wall clock, and a monotonic one, in ms. */
  now(): { readonly wallMs: number; readonly monotonicMs: number };
  /** Returns a number in [0, 1). */
  random(): number;
  readonly tickMs: number;
  readonly log: Log;
  /** Called at most once an hour for each namespace. */
  onSecretFull(secret: FullSecret): void;
}

/** Interval between two searches for hosts to forget, in ms. */
const searchIntervalMs = 60_000;
/** A Secret with hosts to forget is checked again after this time, in ms: most likely a pod still uses them. */
const forgetIntervalMs = 3_600_000;
const hourMs = 3_600_000;

/**
 * Bounds the namespaces that are checked at the same time, because nothing here is urgent. A namespace whose calls hang does not
 * delay the others.
 */
const podCheckLimits = { concurrency: 4, maxWaitMs: 5_000, maxDetached: 16 };
const forgetLimits = { ...podCheckLimits, concurrency: 1 };

/** Periodic maintenance of the hosts in Secrets. Runs in every replica; a slower replica finds nothing left to do. */
export class Housekeeping {
  readonly #dependencies: HousekeepingDependencies;
  /** Namespace → when it is checked again for hosts to forget, in ms of the monotonic clock. */
  readonly #nextForgetAt = new Map<string, number>();
  /** Namespace → when its full Secret was reported, in ms of the monotonic clock. */
  readonly #reportedAt = new Map<string, number>();
  readonly #unstoredHostChecker: UnstoredHostChecker;
  readonly #podCheckLimit = createSlotLimit(podCheckLimits);
  readonly #forgetLimit = createSlotLimit(forgetLimits);
  /** Task ID → the task, started or queued. */
  readonly #inFlight = new Map<string, Promise<void>>();
  #nextSearchAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(dependencies: HousekeepingDependencies) {
    this.#dependencies = dependencies;
    this.#unstoredHostChecker = new UnstoredHostChecker({
      ...dependencies,
      monotonicNow: () => dependencies.now().monotonicMs,
    });
  }

  start(): void {
    this.#timer = setInterval(() => this.tick(), this.#dependencies.tickMs).unref();
  }

  /** Stops starting tasks, and resolves when none is in flight. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.waitUntilIdle();
  }

  /** Resolves when nothing is in flight. */
  async waitUntilIdle(): Promise<void> {
    await Promise.all(this.#inFlight.values());
  }

  /** Starts the tasks that are due and not in flight. */
  tick(): void {
    if (this.#stopped) {
      return;
    }
    const { missing, now, forgetHosts } = this.#dependencies;
    this.#removeSettledHosts();
    for (const namespace of missing.dueNamespaces(now().monotonicMs)) {
      this.#startTask(`retry ${namespace}`, namespace, this.#podCheckLimit, () =>
        this.#retryMissingHosts(namespace),
      );
    }
    for (const namespace of this.#unstoredHostChecker.takeDueNamespaces()) {
      this.#startTask(`pods ${namespace}`, namespace, this.#podCheckLimit, () =>
        this.#unstoredHostChecker.checkPods(namespace),
      );
    }
    const { monotonicMs } = now();
    if (monotonicMs >= this.#nextSearchAt) {
      this.#nextSearchAt = monotonicMs + searchIntervalMs;
      for (const namespace of this.#findNamespacesToForgetIn()) {
        this.#nextForgetAt.set(namespace, monotonicMs + forgetIntervalMs);
        this.#startTask(`forget ${namespace}`, namespace, this.#forgetLimit, () => forgetHosts(namespace));
      }
    }
  }

  /** Starts a task unless one with the same ID is in flight. A failure does not affect other namespaces. */
  #startTask(id: string, namespace: string, limit: SlotLimit, task: () => Promise<void>): void {
    if (this.#inFlight.has(id)) {
      return;
    }
    const done = limit
      .run(async () => (this.#stopped ? undefined : await task()))
      .catch((error: unknown) => {
        this.#dependencies.log.warn({ namespace, err: error }, 'failed to update the hosts of a pull Secret');
      })
      .finally(() => this.#inFlight.delete(id));
    this.#inFlight.set(id, done);
  }

  /** Forgets unstored hosts that another replica has stored, that nothing has requested for long, or that are denied. */
  #removeSettledHosts(): void {
    const { unstored, secretCache, forgetAfterMs, isDenied } = this.#dependencies;
    for (const namespace of unstored.byNamespace().keys()) {
      const secret = secretCache.get(namespace);
      if (secret?.isManaged === true) {
        unstored.remove(namespace, secret.hosts.keys());
      }
    }
    unstored.expire(forgetAfterMs);
    unstored.removeDenied(isDenied);
  }

  async #retryMissingHosts(namespace: string): Promise<void> {
    const { missing, pods, secrets, secretCache, resolveRegistry, isDenied, now, random } =
      this.#dependencies;
    const inUse = await pods.listHosts(namespace);
    const toAdd = missing.hostsToAdd(namespace, inUse);
    const unavailableHosts =
      toAdd.length === 0 ? [] : await secrets.ensure(namespace, resolveRegistries(toAdd, resolveRegistry));
    const stored = secretCache.get(namespace)?.hosts;
    missing.recordPodCheck(namespace, {
      ...{ inUse, stored, now: now().monotonicMs, random: random() },
      isDenied: (host) => isDenied(namespace, host),
    });
    const fullHosts = unavailableHosts.filter(({ code }) => code === 'secret-full').map(({ host }) => host);
    if (fullHosts.length > 0) {
      this.#reportFull(namespace, fullHosts, stored?.size ?? 0);
    }
  }

  #reportFull(namespace: string, hosts: readonly string[], stored: number): void {
    const { pods, onSecretFull, now } = this.#dependencies;
    const { monotonicMs } = now();
    for (const [other, at] of this.#reportedAt) {
      if (monotonicMs - at >= hourMs) {
        this.#reportedAt.delete(other);
      }
    }
    if (!this.#reportedAt.has(namespace)) {
      this.#reportedAt.set(namespace, monotonicMs);
      onSecretFull({ namespace, hosts, stored, forbidden: pods.isForbidden(namespace) });
    }
  }

  #findNamespacesToForgetIn(): string[] {
    const { secretCache, forgetAfterMs, replica, now } = this.#dependencies;
    const { wallMs, monotonicMs } = now();
    const due: string[] = [];
    for (const [namespace, until] of this.#nextForgetAt) {
      if (until <= monotonicMs) {
        this.#nextForgetAt.delete(namespace);
      }
    }
    for (const [namespace, secret] of secretCache.entries()) {
      if (
        !this.#nextForgetAt.has(namespace) &&
        isForgettable(namespace, secret, { forgetAfterMs, replica, now: wallMs })
      ) {
        due.push(namespace);
      }
    }
    return due;
  }
}
