import { retryMs, writeRetryMs } from '../backoff.ts';
import { isPermanent, type Shortfall } from '../secrets/shortfall.ts';
import { type Due, type DueKind, type Plan, repeatedCode, type Trouble } from './plan-types.ts';

interface Attempt extends Trouble {
  readonly inARow: number;
  /** It went well, and not so soon after the last one that it would be remarkable. */
  readonly isOrdinary: boolean;
}

/** A Secret that is repaired again and again within this time is repaired less and less often, ms. */
const repairWindowMs = 3_600_000;

/**
 * Renewals that go well, but come again within this share of a token's lifetime, are made less and less often: what the
 * annotation says of its tokens is untrusted input, and must not keep the queue busy.
 */
const renewalWindow = 0.05;

/** For this long a success may still count as one that came too often, ms; a token of ECR lives for 12 hours. */
const successMs = Math.max(repairWindowMs, renewalWindow * 12 * 3_600_000);

/**
 * What came of the last try in each namespace, for each kind of hosts, where that says when to try again: hosts that never
 * had a token do not make those with one wait. Failures of a region's token call
 * are not kept here: the tokens room remembers those for all namespaces at once.
 */
export class Attempts {
  readonly #last = new Map<string, Attempt>();

  get(namespace: string, kind: DueKind): Trouble | undefined {
    const last = this.#last.get(keyOf(namespace, kind));
    return last?.isOrdinary === true ? undefined : last;
  }

  /**
   * @param own what kept hosts from being renewed in this namespace alone; none: all went well
   * @param now the wall clock in ms
   * @param random a number in [0, 1)
   * @param lifetimeMs of the tokens that are stored now
   */
  note(
    { namespace, kind, reason }: Due,
    own: readonly Shortfall[],
    now: number,
    random: number,
    lifetimeMs: number,
  ): void {
    const key = keyOf(namespace, kind);
    const before = this.#last.get(key);
    const why = own.find(({ cause }) => cause === 'write') ?? own[0];
    const repaired = why === undefined && (reason === 'edited' || reason === 'deleted');
    const windowMs = repaired ? repairWindowMs : renewalWindow * lifetimeMs;
    const succeededBefore = before?.code === repeatedCode;
    const lasts =
      before !== undefined &&
      (why === undefined ? succeededBefore && now - before.at < windowMs : !before.isOrdinary);
    const inARow = (lasts ? before.inARow : 0) + 1;
    this.#last.set(key, {
      code: why?.code ?? repeatedCode,
      permanent: why !== undefined && isPermanent(why.code),
      cause: why?.cause,
      message: why === undefined ? 'something else keeps changing the Secret' : (why.message ?? why.text),
      since: lasts ? Math.min(before.since, now) : now,
      at: now,
      // nothing shows when a quota or a policy has changed, so a failed write is retried more often
      retryAt: now + (why?.cause === 'write' ? writeRetryMs : retryMs)(inARow, random),
      inARow,
      isOrdinary: why === undefined && !repaired && inARow === 1,
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
      const isResolved = code === repeatedCode ? now - at > successMs : at <= now && !unresolved.has(key);
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
