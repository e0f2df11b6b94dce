// Compares hosts that could not be stored with the pods of their namespace.
import { type CachedSecret, formerHostsToReport, isBlockingSecret } from '../pull-secrets/cached-secret.ts';
import type { PodsInUse } from '../pull-secrets/hosts-in-use.ts';
import { podCreationMs } from '../pull-secrets/missing-hosts.ts';
import type { SecretCache } from '../pull-secrets/secret-cache.ts';
import { unmanagedSecretHost } from '../pull-secrets/unavailable-host.ts';
import { toWriteFailure, type UnstoredHosts } from '../pull-secrets/unstored-hosts.ts';

export interface UnstoredHostCheckerDependencies {
  readonly secretCache: Pick<SecretCache, 'get' | 'entries' | 'forget'>;
  readonly unstored: UnstoredHosts;
  readonly pods: Pick<PodsInUse, 'listPodHosts' | 'isForbidden'>;
  /** Whether the operator configured the host (`provisioning.registries`). */
  isConfigured(host: string): boolean;
  /** A monotonic clock in ms. */
  monotonicNow(): number;
}

/** When a namespace is looked at next, in ms of the monotonic clock. */
interface Schedule {
  /** Of the unmanaged Secret for which it was made; none: there is no such Secret. */
  readonly uid: string | undefined;
  readonly nextAt: number;
}

/** Between two looks at the pods of a namespace with hosts that are kept, ms. */
const keptHostsIntervalMs = 600_000;
/** The same where an unmanaged Secret is in the way and nothing is kept, ms. */
const unmanagedSecretIntervalMs = 3_600_000;
/** After the pods could not be listed, ms. */
const failedListRetryMs = 60_000;
/** Namespaces whose look begins at one tick; the others wait for the next. */
const maxPerTick = 10;

/** For this long after its last request a configured host is kept: provisioning requests it again every five minutes, ms. */
const configuredHostRetentionMs = 900_000;

/**
 * Forgets kept hosts that no pod names any more. Finds hosts that are wanted in namespaces with an unmanaged Secret: after
 * a restart, nothing else knows of them.
 */
export class UnstoredHostChecker {
  readonly #dependencies: UnstoredHostCheckerDependencies;
  readonly #schedules = new Map<string, Schedule>();

  constructor(parts: UnstoredHostCheckerDependencies) {
    this.#dependencies = parts;
  }

  /**
   * Namespaces whose pods are to be looked at now. Each is given once, and again after some minutes. Those that have been due
   * for longest come first, so that none starves where there are more than can be looked at.
   */
  takeDueNamespaces(): string[] {
    const now = this.#dependencies.monotonicNow();
    const candidates = this.#findCandidates(now);
    this.#forgetSchedules(candidates);
    const due = [...candidates]
      .map(([namespace, { uid, nextAt }]) => ({
        namespace,
        uid,
        nextAt: this.#schedules.get(namespace)?.nextAt ?? nextAt,
      }))
      .filter(({ nextAt }) => nextAt <= now)
      .sort((a, b) => a.nextAt - b.nextAt)
      .slice(0, maxPerTick);
    for (const { namespace, uid } of due) {
      this.#schedules.set(namespace, { uid, nextAt: now + failedListRetryMs });
    }
    return due.map(({ namespace }) => namespace);
  }

  /** Namespaces to look at, each with the time of its first look. */
  #findCandidates(now: number): Map<string, Schedule> {
    const { secretCache, unstored } = this.#dependencies;
    const candidates = new Map<string, Schedule>();
    for (const [namespace, { hosts }] of unstored.byNamespace()) {
      const since = hosts.values().next().value?.since ?? now;
      candidates.set(namespace, { uid: undefined, nextAt: since + podCreationMs });
    }
    for (const [namespace, secret] of secretCache.entries()) {
      if (isBlockingSecret(secret)) {
        const { uid, formerHosts, observedAt } = secret;
        // a pod that was admitted while the Secret was managed is stored by then
        candidates.set(namespace, { uid, nextAt: formerHosts.size === 0 ? now : observedAt + podCreationMs });
      }
    }
    return candidates;
  }

  /** A Secret that takes the place of another one is looked at as if for the first time. */
  #forgetSchedules(candidates: ReadonlyMap<string, Schedule>): void {
    for (const [namespace, { uid }] of this.#schedules) {
      const candidate = candidates.get(namespace);
      if (candidate === undefined || (candidate.uid !== undefined && candidate.uid !== uid)) {
        this.#schedules.delete(namespace);
      }
    }
  }

  /** Looks at the pods of a namespace. Where they cannot be listed now, nothing changes. */
  async checkPods(namespace: string): Promise<void> {
    const { pods, unstored, secretCache, monotonicNow: monotonicMs } = this.#dependencies;
    const podHosts = await pods.listPodHosts(namespace);
    const secret = secretCache.get(namespace);
    const blockingSecret = isBlockingSecret(secret) ? secret : undefined;
    if (podHosts === undefined) {
      if (pods.isForbidden(namespace) && blockingSecret !== undefined) {
        // no look will ever show which of them are in use, so they are kept as long as other hosts
        this.#keepHosts(namespace, blockingSecret, formerHostsToReport(blockingSecret));
      }
      return;
    }
    const inUse = podHosts.hosts;
    if (blockingSecret !== undefined) {
      const former = [...blockingSecret.formerHosts.keys()].filter((host) => inUse.has(host));
      this.#keepHosts(namespace, blockingSecret, [...podHosts.referring, ...former]);
    }
    const kept = [...(unstored.byNamespace().get(namespace)?.hosts ?? [])];
    const isUnused = ([host, { requestedAt }]: (typeof kept)[number]) =>
      !inUse.has(host) && !this.#isRecent(host, requestedAt);
    const unused = kept.filter(isUnused).map(([host]) => host);
    unstored.remove(namespace, unused);
    unstored.confirmRequested(namespace, inUse);
    const intervalMs = unstored.byNamespace().has(namespace)
      ? keptHostsIntervalMs
      : unmanagedSecretIntervalMs;
    const uid = secret?.isManaged === false ? secret.uid : undefined;
    this.#schedules.set(namespace, { uid, nextAt: monotonicMs() + intervalMs });
  }

  /** Keeps hosts as unstored, instead of all that the managed Secret had. */
  #keepHosts(namespace: string, { observedAt }: CachedSecret, hosts: Iterable<string>): void {
    const { unstored, secretCache } = this.#dependencies;
    unstored.add(namespace, [...new Set(hosts)], toWriteFailure(unmanagedSecretHost('')), observedAt);
    secretCache.forget(namespace);
  }

  /** A pod is stored after it was admitted, and a list of pods says nothing about it until then. */
  #isRecent(host: string, requestedAt: number): boolean {
    const retentionMs = this.#dependencies.isConfigured(host) ? configuredHostRetentionMs : podCreationMs;
    return this.#dependencies.monotonicNow() - requestedAt < retentionMs;
  }
}
