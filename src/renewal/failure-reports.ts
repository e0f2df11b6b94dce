// Decides which failing and recovered hosts are due for an Event or a warning.
import type { Overdue } from './plan-types.ts';

/** What to report about hosts that cannot be renewed. */
export interface FailureReport {
  /** Hosts that have failed for long. Reported once an hour, because the API server deletes Events after an hour. */
  readonly failing: readonly Overdue[];
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
 * How long a host must keep failing before an Event is emitted, in ms. Shorter failures resolve themselves.
 * @internal exported for its tests
 */
export const failureEventDelayMs = 600_000;

/**
 * The same for a host whose pods cannot pull because the Secret cannot be written, in ms.
 * @internal exported for its tests
 */
export const urgentEventDelayMs = 60_000;

/** A token that cannot be renewed is reported below this remaining lifetime, in ms: a quarter of the lifetime in Amazon ECR. */
const expiryWarningMs = 3 * 3_600_000;

/** Maximum of warnings for the same code at the same time. */
const maxMessagesPerCode = 10;

const hourMs = 3_600_000;

/** Selects what to report, and remembers what has been reported. */
export class FailureTracker {
  readonly #reported = new Map<string, { namespace: string; host: string; at: number }>();
  readonly #warnedAt = new Map<string, number>();

  /**
   * @param overdue all hosts that should have been renewed by now
   * @param now the wall clock in ms
   */
  update(overdue: readonly Overdue[], now: number): FailureReport {
    const failing = overdue.filter(
      ({ failure, isUrgent }) =>
        now - failure.since >= (isUrgent === true ? urgentEventDelayMs : failureEventDelayMs),
    );
    const keys = new Set(overdue.map(hostKey));
    const recovered = [...this.#reported].filter(([key]) => !keys.has(key));
    for (const [key] of recovered) {
      this.#reported.delete(key);
    }
    const unreported = failing.filter(
      (host) => now - (this.#reported.get(hostKey(host))?.at ?? -hourMs) >= hourMs,
    );
    for (const host of unreported) {
      this.#reported.set(hostKey(host), { namespace: host.namespace, host: host.host, at: now });
    }
    return {
      failing: unreported,
      recovered: recovered.map(([, { namespace, host }]) => ({ namespace, host })),
      expiring: this.#findExpiring(overdue, now),
    };
  }

  /** Lets a host count as not reported, because its Event was not sent. */
  markUnreported(host: Overdue): void {
    this.#reported.delete(hostKey(host));
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
