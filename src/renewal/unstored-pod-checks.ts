// Compares hosts that could not be stored with the pods of their namespace.
import { isObstacle, type KnownSecret, reportedFormerHosts } from '../pull-secrets/cached-secret.ts';
import type { PodsInUse } from '../pull-secrets/hosts-in-use.ts';
import { settleMs } from '../pull-secrets/missing-hosts.ts';
import type { SecretView } from '../pull-secrets/secret-cache.ts';
import { foreignSecret } from '../pull-secrets/unavailable-host.ts';
import { type UnstoredHosts, writeFailure } from '../pull-secrets/unstored-hosts.ts';

export interface UnstoredLooksParts {
  readonly view: Pick<SecretView, 'get' | 'entries' | 'forget'>;
  readonly unstored: UnstoredHosts;
  readonly pods: Pick<PodsInUse, 'reportOf' | 'isForbidden'>;
  /** Whether the operator configured the host (`provisioning.registries`). */
  isConfigured(host: string): boolean;
  /** A monotonic clock in ms. */
  steady(): number;
}

/** When a namespace is looked at next, in ms of the monotonic clock. */
interface Schedule {
  /** Of the unmanaged Secret for which it was made; none: there is no such Secret. */
  readonly uid: string | undefined;
  readonly nextAt: number;
}

/** Between two looks at the pods of a namespace with hosts that are kept, ms. */
const keptMs = 600_000;
/** The same where an unmanaged Secret is in the way and nothing is kept, ms. */
const unmanagedMs = 3_600_000;
/** After the pods could not be listed, ms. */
const failedMs = 60_000;
/** Namespaces whose look begins at one tick; the others wait for the next. */
const maxPerTick = 10;

/** For this long after its last request a configured host is kept: provisioning requests it again every five minutes, ms. */
const configuredMs = 900_000;

/**
 * Forgets kept hosts that no pod names any more. Finds hosts that are wanted in namespaces with an unmanaged Secret: after
 * a restart, nothing else knows of them.
 */
export class UnstoredLooks {
  readonly #parts: UnstoredLooksParts;
  readonly #schedules = new Map<string, Schedule>();

  constructor(parts: UnstoredLooksParts) {
    this.#parts = parts;
  }

  /**
   * Namespaces whose pods are to be looked at now. Each is given once, and again after some minutes. Those that have been due
   * for longest come first, so that none starves where there are more than can be looked at.
   */
  due(): string[] {
    const now = this.#parts.steady();
    const candidates = this.#candidates(now);
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
      this.#schedules.set(namespace, { uid, nextAt: now + failedMs });
    }
    return due.map(({ namespace }) => namespace);
  }

  /** Namespaces to look at, each with the time of its first look. */
  #candidates(now: number): Map<string, Schedule> {
    const { view, unstored } = this.#parts;
    const candidates = new Map<string, Schedule>();
    for (const [namespace, { hosts }] of unstored.all()) {
      const since = hosts.values().next().value?.since ?? now;
      candidates.set(namespace, { uid: undefined, nextAt: since + settleMs });
    }
    for (const [namespace, secret] of view.entries()) {
      if (isObstacle(secret)) {
        const { uid, formerHosts, learnedAt } = secret;
        // a pod that was admitted while the Secret was managed is stored by then
        candidates.set(namespace, { uid, nextAt: formerHosts.size === 0 ? now : learnedAt + settleMs });
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
  async look(namespace: string): Promise<void> {
    const { pods, unstored, view, steady } = this.#parts;
    const report = await pods.reportOf(namespace);
    const secret = view.get(namespace);
    const obstacle = isObstacle(secret) ? secret : undefined;
    if (report === undefined) {
      if (pods.isForbidden(namespace) && obstacle !== undefined) {
        // no look will ever show which of them are in use, so they are kept as long as other hosts
        this.#keepWanted(namespace, obstacle, reportedFormerHosts(obstacle));
      }
      return;
    }
    const inUse = report.hosts;
    if (obstacle !== undefined) {
      const former = [...obstacle.formerHosts.keys()].filter((host) => inUse.has(host));
      this.#keepWanted(namespace, obstacle, [...report.referring, ...former]);
    }
    const kept = [...(unstored.all().get(namespace)?.hosts ?? [])];
    const isUnused = ([host, { requestedAt }]: (typeof kept)[number]) =>
      !inUse.has(host) && !this.#isRecent(host, requestedAt);
    const unused = kept.filter(isUnused).map(([host]) => host);
    unstored.remove(namespace, unused);
    unstored.confirm(namespace, inUse);
    const everyMs = unstored.all().has(namespace) ? keptMs : unmanagedMs;
    const uid = secret?.ours === false ? secret.uid : undefined;
    this.#schedules.set(namespace, { uid, nextAt: steady() + everyMs });
  }

  /** Keeps hosts as unstored, instead of all that the managed Secret had. */
  #keepWanted(namespace: string, { learnedAt }: KnownSecret, hosts: Iterable<string>): void {
    const { unstored, view } = this.#parts;
    unstored.requested(namespace, [...new Set(hosts)], writeFailure(foreignSecret('')), learnedAt);
    view.forget(namespace);
  }

  /** A pod is stored after it was admitted, and a list of pods says nothing about it until then. */
  #isRecent(host: string, requestedAt: number): boolean {
    const forMs = this.#parts.isConfigured(host) ? configuredMs : settleMs;
    return this.#parts.steady() - requestedAt < forMs;
  }
}
