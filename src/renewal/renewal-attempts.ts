// Remembers the last renewal in each namespace and decides how long the next one backs off.
import { isPermanent, type UnavailableHost } from '../pull-secrets/unavailable-host.ts';
import { backoffMs, namespaceBackoff, writeBackoff } from '../util/backoff.ts';
import { type Due, type DueKind, flappingCode, type HostFailure, type Plan } from './plan-types.ts';

interface Attempt extends HostFailure {
  /** Consecutive attempts with the same result: failures, or successes that came too soon after one another. */
  readonly consecutive: number;
  /** Succeeded, and not so soon after the last success that the next one has to back off. */
  readonly isOrdinarySuccess: boolean;
}

/** Repairs of the same Secret within this time are flapping and back off, in ms. */
const repairWindowMs = 3_600_000;

/**
 * Successful renewals that follow each other within this share of a token's lifetime back off as well. The annotation is
 * untrusted input: anyone who can edit it could otherwise keep the queue busy with lifetimes that always look due.
 */
const renewalWindowFraction = 0.05;

/** A success can count as flapping for this long, in ms. A token of Amazon ECR is valid for 12 hours. */
const successRetentionMs = Math.max(repairWindowMs, renewalWindowFraction * 12 * 3_600_000);

/**
 * Tracks the last attempt for each namespace and kind of hosts. The kinds are separate, so that hosts that never had a
 * token do not delay those that have one. Failures of the token call are not kept here, because the token cache remembers
 * them per region for all namespaces.
 */
export class AttemptTracker {
  readonly #last = new Map<string, Attempt>();

  /** The failure that delays the next attempt; undefined: nothing delays it. */
  get(namespace: string, kind: DueKind): HostFailure | undefined {
    const last = this.#last.get(keyOf(namespace, kind));
    return last?.isOrdinarySuccess === true ? undefined : last;
  }

  /**
   * @param failures what prevented renewal in this namespace alone; empty: the renewal succeeded
   * @param now the wall clock in ms
   * @param random a number in [0, 1)
   * @param lifetimeMs lifetime of the stored tokens in ms
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
    const hasSucceededBefore = previous?.code === flappingCode;
    const continues =
      previous !== undefined &&
      (failure === undefined
        ? hasSucceededBefore && now - previous.at < windowMs
        : !previous.isOrdinarySuccess);
    const consecutive = (continues ? previous.consecutive : 0) + 1;
    this.#last.set(key, {
      code: failure?.code ?? flappingCode,
      permanent: failure !== undefined && isPermanent(failure.code),
      cause: failure?.cause,
      message:
        failure === undefined
          ? 'another writer keeps changing the Secret; look for its name in metadata.managedFields'
          : (failure.message ?? failure.text),
      since: continues ? Math.min(previous.since, now) : now,
      at: now,
      // no watch shows that a quota or a policy has changed, so a failed write is retried more often
      retryAt:
        now + backoffMs(failure?.cause === 'write' ? writeBackoff : namespaceBackoff, consecutive, random),
      consecutive,
      isOrdinarySuccess: failure === undefined && !isRepair && consecutive === 1,
    });
  }

  /**
   * Forgets failures in namespaces where nothing is due any more, because another replica or the request of a pod
   * succeeded: a later failure there has another cause. Also forgets successes that are too old to count as flapping.
   * @param plan made at `now`, the wall clock in ms; attempts after that are kept
   */
  forgetResolved({ due, overdue }: Pick<Plan, 'due' | 'overdue'>, now: number): void {
    const attempted = overdue.filter(({ isUnresolved }) => isUnresolved !== true);
    const unresolved = new Set([...due, ...attempted].map(({ namespace, kind }) => keyOf(namespace, kind)));
    for (const [key, { code, at }] of this.#last) {
      const isResolved =
        code === flappingCode ? now - at > successRetentionMs : at <= now && !unresolved.has(key);
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
