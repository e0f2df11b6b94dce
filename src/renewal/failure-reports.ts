// Decides which failing and recovered hosts are due for an Event or a warning.
import type { HostFailure, Overdue } from './plan-types.ts';

/** What to report about hosts that cannot be renewed. */
export interface FailureReport {
  /**
   * Hosts that fail permanently, or have failed for long. Reported once an hour for each permanent cause, because the API server
   * deletes Events after an hour.
   */
  readonly failing: readonly Overdue[];
  /** Whether a host has been added for which waiting pods get an Event: see {@link findFailuresOfWaitingPods}. */
  readonly hasNewWaitingHost: boolean;
  /** Hosts that were reported as failing and no longer fail. */
  readonly recovered: readonly { readonly namespace: string; readonly host: string }[];
  /** Tokens that expire soon, by cause. Reported once an hour. */
  readonly expiring: readonly ExpiringTokens[];
}

/** Tokens that expire soon and cannot be renewed for the same cause. */
export interface ExpiringTokens {
  readonly code: string;
  readonly permanent: boolean;
  readonly message: string;
  readonly namespaces: number;
  /** When the first of the tokens expires, in ms since the epoch. */
  readonly firstExpiresAt: number;
}

/**
 * How long a host must keep failing for a reason that may pass before an Event is emitted, in ms. Shorter failures resolve
 * themselves.
 * @internal exported for its tests
 */
export const failureEventDelayMs = 600_000;

/**
 * The same for a host whose pods cannot pull because the Secret cannot be written, in ms.
 * @internal exported for its tests
 */
export const urgentEventDelayMs = 60_000;

/**
 * The same for a permanent failure inside the cluster, in ms: a ServiceAccount or its annotation is created moments after its pod,
 * an API server that has just started denies what its caches do not allow yet, and so does the agent that provides credentials on
 * a new node. What AWS refuses is reported at once.
 * @internal exported for its tests
 */
export const settlingDelayMs = 15_000;

/** A token that cannot be renewed is reported below this remaining lifetime, in ms: a quarter of the lifetime in Amazon ECR. */
const expiryWarningMs = 3 * 3_600_000;

/** Maximum of warnings for the same code at the same time. */
const maxMessagesPerCode = 10;

const hourMs = 3_600_000;

/** Selects what to report, and remembers what has been reported. */
export class FailureTracker {
  readonly #reported = new Map<string, ReportedHost>();
  /** Hosts of waiting pods at the last update. */
  #waiting: ReadonlySet<string> = new Set();
  readonly #warnedAt = new Map<string, number>();

  /**
   * @param overdue all hosts that should have been renewed by now
   * @param now the wall clock in ms
   */
  update(overdue: readonly Overdue[], now: number): FailureReport {
    const failing = overdue.filter(
      (host) =>
        now - host.failure.since >=
        getDelayMs(host, host.isUrgent ? urgentEventDelayMs : failureEventDelayMs),
    );
    const keys = new Set(overdue.map(hostKey));
    const recovered = [...this.#reported].filter(([key]) => !keys.has(key));
    for (const [key] of recovered) {
      this.#reported.delete(key);
    }
    const unreported = failing.filter((host) => now - (this.#reportedAt(host) ?? -hourMs) >= hourMs);
    for (const host of unreported) {
      this.#markReported(host, now);
    }
    return {
      failing: unreported,
      hasNewWaitingHost: this.#updateWaiting(overdue, now),
      recovered: recovered.map(([, { namespace, host }]) => ({ namespace, host })),
      expiring: this.#findExpiring(overdue, now),
    };
  }

  /** Lets a host count as not reported, because its Event was not sent. */
  markUnreported(host: Overdue): void {
    const key = hostKey(host);
    const reported = this.#reported.get(key);
    reported?.causes.delete(getEventCause(host.failure));
    if (reported?.causes.size === 0) {
      this.#reported.delete(key);
    }
  }

  #reportedAt(host: Overdue): number | undefined {
    return this.#reported.get(hostKey(host))?.causes.get(getEventCause(host.failure));
  }

  /** Causes that were reported more than an hour ago are forgotten, so that few are kept. */
  #markReported({ namespace, host, failure }: Overdue, now: number): void {
    const key = hostKey({ namespace, host });
    const causes = [...(this.#reported.get(key)?.causes ?? [])].filter(([, at]) => now - at < hourMs);
    this.#reported.set(key, { namespace, host, causes: new Map([...causes, [getEventCause(failure), now]]) });
  }

  /** @returns whether a host has been added */
  #updateWaiting(overdue: readonly Overdue[], now: number): boolean {
    const before = this.#waiting;
    this.#waiting = new Set(overdue.filter((host) => isReportedToPods(host, now)).map(hostKey));
    return [...this.#waiting].some((key) => !before.has(key));
  }

  #findExpiring(overdue: readonly Overdue[], now: number): ExpiringTokens[] {
    const byCause = groupByCause(
      overdue.filter(({ expiresAt }) => expiresAt !== undefined && expiresAt - now < expiryWarningMs),
    );
    for (const [cause, at] of this.#warnedAt) {
      if (!byCause.has(cause) || at > now) {
        this.#warnedAt.delete(cause);
      }
    }
    return [...byCause].flatMap(([cause, hosts]) => {
      const [first] = hosts;
      if (first === undefined || now - (this.#warnedAt.get(cause) ?? -hourMs) < hourMs) {
        return [];
      }
      this.#warnedAt.set(cause, now);
      const { code, permanent, message } = first.failure;
      const namespaces = new Set(hosts.map(({ namespace }) => namespace)).size;
      const firstExpiresAt = hosts.reduce(
        (first, { expiresAt = first }) => Math.min(first, expiresAt),
        Number.POSITIVE_INFINITY,
      );
      return [{ code, permanent, message, namespaces, firstExpiresAt }];
    });
  }
}

/** A failing host that was reported. */
interface ReportedHost {
  readonly namespace: string;
  readonly host: string;
  /** Cause → when it was last reported, in ms since the epoch. */
  readonly causes: Map<string, number>;
}

/**
 * What distinguishes the Events about a host. A host that is refused for another reason is reported again, so that users who
 * correct one mistake learn of the next one. Failures that may pass alternate, so they all count as one.
 */
export function getEventCause({ permanent, code }: HostFailure): string {
  return permanent ? code : '';
}

/** How long a failure must last before it is reported, in ms. @param temporaryDelayMs for a failure that may pass */
function getDelayMs({ failure, isUnresolved, isUrgent }: Overdue, temporaryDelayMs: number): number {
  if (!failure.permanent) {
    return temporaryDelayMs;
  }
  const isInCluster =
    isUnresolved === true ||
    isUrgent === true ||
    failure.cause === 'write' ||
    failure.code === 'no-credentials';
  return isInCluster ? settlingDelayMs : 0;
}

/** Whether pods that wait for the host's token get an Event. */
function isReportedToPods(host: Overdue, now: number): boolean {
  return host.kind === 'missing' && now - host.failure.since >= getDelayMs(host, urgentEventDelayMs);
}

/**
 * The failures of the hosts whose waiting pods get an Event, by namespace and host: those without a valid token that fail
 * permanently, or have failed for a minute.
 * @param now the wall clock in ms
 */
export function findFailuresOfWaitingPods(
  overdue: readonly Overdue[],
  now: number,
): ReadonlyMap<string, ReadonlyMap<string, HostFailure>> {
  const byNamespace = new Map<string, Map<string, HostFailure>>();
  for (const { namespace, host, failure } of overdue.filter((one) => isReportedToPods(one, now))) {
    const ofNamespace = byNamespace.get(namespace) ?? new Map<string, HostFailure>();
    byNamespace.set(namespace, ofNamespace.set(host, failure));
  }
  return byNamespace;
}

/**
 * Groups hosts by what prevents their renewal. The message of an identity that belongs to one namespace names that namespace, so
 * beyond {@link maxMessagesPerCode}, the hosts of a code are one group, and the message of the first host is the example.
 */
function groupByCause(overdue: readonly Overdue[]): Map<string, readonly Overdue[]> {
  const byCode = Map.groupBy(overdue, ({ failure }) => failure.code);
  return new Map(
    [...byCode].flatMap(([code, hosts]): [string, readonly Overdue[]][] => {
      const byMessage = Map.groupBy(hosts, ({ failure }) => failure.message);
      return byMessage.size > maxMessagesPerCode
        ? [[code, hosts]]
        : [...byMessage].map(([message, ofMessage]) => [`${code} ${message}`, ofMessage]);
    }),
  );
}

function hostKey({ namespace, host }: { readonly namespace: string; readonly host: string }): string {
  return `${namespace}/${host}`;
}
