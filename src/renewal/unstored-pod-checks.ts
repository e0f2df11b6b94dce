// Lists pods to find out which unstored hosts are still needed.
import { type CachedSecret, formerHostsToReport, isBlockingSecret } from '../pull-secrets/cached-secret.ts';
import type { PodHostLister } from '../pull-secrets/hosts-in-use.ts';
import { podCreationMs } from '../pull-secrets/missing-hosts.ts';
import type { SecretCache } from '../pull-secrets/secret-cache.ts';
import { unmanagedSecretHost } from '../pull-secrets/unavailable-host.ts';
import { toWriteFailure, type UnstoredHosts } from '../pull-secrets/unstored-hosts.ts';

export interface UnstoredHostCheckerDependencies {
  readonly secretCache: Pick<SecretCache, 'get' | 'entries' | 'forget'>;
  readonly unstored: UnstoredHosts;
  readonly pods: Pick<PodHostLister, 'listPodHosts' | 'isForbidden'>;
  /** Whether the operator configured the host (`provisioning.registries`). */
  isConfigured(host: string): boolean;
  /** Whether a rule denies a namespace the tokens of a host. */
  isDenied(namespace: string, host: string): boolean;
  /** A monotonic clock in ms. */
  monotonicNow(): number;
}

/** When the pods of a namespace are checked next. */
interface Schedule {
  /** UID of the unmanaged Secret that the check is for; undefined: there is no such Secret. */
  readonly uid: string | undefined;
  /** In ms of the monotonic clock. */
  readonly nextAt: number;
}

/** Interval between two checks of a namespace with unstored hosts, in ms. */
const unstoredHostsIntervalMs = 600_000;
/** Interval between two checks of a namespace that has an unmanaged Secret and no unstored hosts, in ms. */
const unmanagedSecretIntervalMs = 3_600_000;
/** Retry interval after the pods could not be listed, in ms. */
const failedListRetryMs = 60_000;
/** Maximum of namespaces whose check starts in one tick. */
const maxPerTick = 10;

/** A configured host is kept this long after its last request, in ms. Provisioning requests it again every five minutes. */
const configuredHostRetentionMs = 900_000;

/**
 * Forgets unstored hosts that no pod uses any more, and finds hosts that pods need in namespaces with an unmanaged Secret,
 * because these are not known after a restart.
 */
export class UnstoredHostChecker {
  readonly #dependencies: UnstoredHostCheckerDependencies;
  readonly #schedules = new Map<string, Schedule>();

  constructor(dependencies: UnstoredHostCheckerDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Returns the namespaces whose pods have to be checked now, and schedules their next check. Those that have been due for
   * longest come first, so that none starves if there are more than {@link maxPerTick}.
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

  /** Namespaces to check, each with the time of its first check. */
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
        // by then, a list contains every pod that was admitted while the Secret was managed
        candidates.set(namespace, { uid, nextAt: formerHosts.size === 0 ? now : observedAt + podCreationMs });
      }
    }
    return candidates;
  }

  /** Forgets the schedule of namespaces that need no check, or whose Secret was replaced. */
  #forgetSchedules(candidates: ReadonlyMap<string, Schedule>): void {
    for (const [namespace, { uid }] of this.#schedules) {
      const candidate = candidates.get(namespace);
      if (candidate === undefined || (candidate.uid !== undefined && candidate.uid !== uid)) {
        this.#schedules.delete(namespace);
      }
    }
  }

  /** Checks the pods of a namespace. Does nothing if they cannot be listed now. */
  async checkPods(namespace: string): Promise<void> {
    const { pods, unstored, secretCache, monotonicNow } = this.#dependencies;
    const podHosts = await pods.listPodHosts(namespace);
    const secret = secretCache.get(namespace);
    const blockingSecret = isBlockingSecret(secret) ? secret : undefined;
    if (podHosts === undefined) {
      if (pods.isForbidden(namespace) && blockingSecret !== undefined) {
        // it cannot be found out which of them are in use, so they expire like other unstored hosts
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
      ? unstoredHostsIntervalMs
      : unmanagedSecretIntervalMs;
    const uid = secret?.isManaged === false ? secret.uid : undefined;
    this.#schedules.set(namespace, { uid, nextAt: monotonicNow() + intervalMs });
  }

  /** Records hosts as unstored, except denied ones, in place of all hosts that the former managed Secret had. */
  #keepHosts(namespace: string, { observedAt }: CachedSecret, hosts: Iterable<string>): void {
    const { unstored, secretCache, isDenied } = this.#dependencies;
    const allowed = [...new Set(hosts)].filter((host) => !isDenied(namespace, host));
    unstored.add(namespace, allowed, toWriteFailure(unmanagedSecretHost('')), observedAt);
    secretCache.forget(namespace);
  }

  /** A pod is stored some time after its admission, so a host that is not in the list can still be needed. */
  #isRecent(host: string, requestedAt: number): boolean {
    const retentionMs = this.#dependencies.isConfigured(host) ? configuredHostRetentionMs : podCreationMs;
    return this.#dependencies.monotonicNow() - requestedAt < retentionMs;
  }
}
