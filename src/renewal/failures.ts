import { isPermanent, type UnavailableHost } from '../pull-secrets/unavailable-host.ts';
import { namespaceBackoff, tokenRetryMs, writeBackoff } from '../util/backoff.ts';
import {
  type Due,
  type DueKind,
  type HostFailure,
  type Overdue,
  type Plan,
  repeatedRenewalCode,
} from './plan-types.ts';

interface Attempt extends HostFailure {
  readonly consecutive: number;
  /** It went well, and not so soon after the last one that it would be remarkable. */
  readonly isOrdinarySuccess: boolean;
}

/** A Secret that is repaired again and again within this time is repaired less and less often, ms. */
const repairWindowMs = 3_600_000;

/**
 * Renewals that go well, but come again within this share of a token's lifetime, are made less and less often: what the
 * annotation says of its tokens is untrusted input, and must not keep the queue busy.
 */
const renewalWindowFraction = 0.05;

/** For this long a success may still count as one that came too often, ms; a token of ECR lives for 12 hours. */
const successRetentionMs = Math.max(repairWindowMs, renewalWindowFraction * 12 * 3_600_000);

/**
 * What came of the last try in each namespace, for each kind of hosts, where that says when to try again: hosts that never
 * had a token do not make those with one wait. Failures of a region's token call
 * are not kept here: the tokens room remembers those for all namespaces at once.
 */
export class AttemptTracker {
  readonly #last = new Map<string, Attempt>();

  get(namespace: string, kind: DueKind): HostFailure | undefined {
    const last = this.#last.get(keyOf(namespace, kind));
    return last?.isOrdinarySuccess === true ? undefined : last;
  }

  /**
   * @param failures what kept hosts from being renewed in this namespace alone; none: all went well
   * @param now the wall clock in ms
   * @param random a number in [0, 1)
   * @param lifetimeMs of the tokens that are stored now
   */
  record(
    { namespace, kind, reason }: Due,
    failures: readonly UnavailableHost[],
    now: number,
    random: number,
    lifetimeMs: number,
  ): void {
    const key = keyOf(namespace, kind);
    const previous = this.#last.get(key);
    const failure = failures.find(({ cause }) => cause === 'write') ?? failures[0];
    const isRepair = failure === undefined && (reason === 'edited' || reason === 'deleted');
    const windowMs = isRepair ? repairWindowMs : renewalWindowFraction * lifetimeMs;
    const hasSucceededBefore = previous?.code === repeatedRenewalCode;
    const continues =
      previous !== undefined &&
      (failure === undefined
        ? hasSucceededBefore && now - previous.at < windowMs
        : !previous.isOrdinarySuccess);
    const consecutive = (continues ? previous.consecutive : 0) + 1;
    this.#last.set(key, {
      code: failure?.code ?? repeatedRenewalCode,
      permanent: failure !== undefined && isPermanent(failure.code),
      cause: failure?.cause,
      message:
        failure === undefined
          ? 'something else keeps changing the Secret'
          : (failure.message ?? failure.text),
      since: continues ? Math.min(previous.since, now) : now,
      at: now,
      // nothing shows when a quota or a policy has changed, so a failed write is retried more often
      retryAt:
        now + tokenRetryMs(failure?.cause === 'write' ? writeBackoff : namespaceBackoff, consecutive, random),
      consecutive,
      isOrdinarySuccess: failure === undefined && !isRepair && consecutive === 1,
    });
  }

  /**
   * Forgets failures in namespaces where nothing is due any more, because another writer was faster or a pod's own request
   * succeeded: what fails there later has another cause. Forgets old successes as well, from which nothing follows.
   * @param plan made at `now`, the wall clock in ms: later tries stay
   */
  forgetResolved({ due, overdue }: Pick<Plan, 'due' | 'overdue'>, now: number): void {
    const unresolved = new Set([...due, ...overdue].map(({ namespace, kind }) => keyOf(namespace, kind)));
    for (const [key, { code, at }] of this.#last) {
      const isResolved =
        code === repeatedRenewalCode ? now - at > successRetentionMs : at <= now && !unresolved.has(key);
      if (isResolved) {
        this.#last.delete(key);
      }
    }
  }

  forget(namespace: string): void {
    this.#last.delete(keyOf(namespace, 'valid'));
    this.#last.delete(keyOf(namespace, 'missing'));
  }
}

function keyOf(namespace: string, kind: DueKind): string {
  return `${kind}/${namespace}`;
}

/** What is to be told about hosts that cannot be renewed. */
export interface FailureReport {
  /** Hosts that have failed for long. Told once an hour, since Events live no longer. */
  readonly failing: readonly Overdue[];
  /** Hosts that were told as failing and are well again. */
  readonly recovered: readonly { readonly namespace: string; readonly host: string }[];
  /** What may end soon, by cause: told once an hour. */
  readonly expiring: readonly ExpiringTokens[];
}

/** Tokens that end soon and cannot be renewed for one cause. */
export interface ExpiringTokens {
  readonly code: string;
  readonly permanent: boolean;
  readonly message: string;
  readonly namespaces: number;
  /** When the first of the tokens ends, in ms since the epoch. */
  readonly firstExpiresAt: number;
}

/** How long a host must keep failing before an Event is emitted, in ms. Shorter failures resolve themselves. */
export const failureEventDelayMs = 600_000;

/** The same for a host whose pods cannot pull because the Secret cannot be written, in ms. */
export const urgentEventDelayMs = 60_000;

/** A token that cannot be renewed is told of when it has no more than this left, ms: a quarter of what ECR gives. */
const expiryWarningMs = 3 * 3_600_000;

const hourMs = 3_600_000;

/** Notices what has to be told, and what was told already. */
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
    const byCause = Map.groupBy(
      overdue.filter(({ expiresAt }) => expiresAt !== undefined && expiresAt - now < expiryWarningMs),
      ({ failure: { code, message } }) => `${code} ${message}`,
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

function hostKey({ namespace, host }: { readonly namespace: string; readonly host: string }): string {
  return `${namespace}/${host}`;
}
