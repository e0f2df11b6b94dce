import { namespaceBackoff, tokenRetryMs } from '../util/backoff.ts';

/** What is undone again within this time is a quarrel, ms: longer than the longest wait. */
const flappingWindowMs = 900_000;

/** Times in a row that something is done again at once, after somebody undid it. */
const maxImmediateRepairs = 2;

/** All times in ms of a clock that is never set. */
interface History {
  failures: number;
  /** How often it was done in a row, each time soon after the last. */
  consecutiveRepairs: number;
  lastDoneAt: number;
  /** Not to be tried before. */
  retryAt: number;
  /** Whether it is still to be done. */
  isPlanned: boolean;
}

/**
 * When an action may be tried again, each alone. There is no last try. What somebody undoes again and again is done less
 * and less often too: they may be another controller, which never tires.
 */
export class ActionBackoff {
  /** Namespace → action → history. */
  readonly #records = new Map<string, Map<string, History>>();

  /** @returns ms until the next try */
  recordFailure(namespace: string, action: string, now: number, random: number): number {
    const record = this.#record(namespace, action);
    record.failures += 1;
    record.isPlanned = true;
    const ms = tokenRetryMs(namespaceBackoff, record.failures, random);
    record.retryAt = now + ms;
    return ms;
  }

  recordSuccess(namespace: string, action: string, now: number, random: number): void {
    const record = this.#record(namespace, action);
    record.consecutiveRepairs =
      now - record.lastDoneAt < flappingWindowMs ? record.consecutiveRepairs + 1 : 1;
    record.lastDoneAt = now;
    record.failures = 0;
    record.isPlanned = false;
    record.retryAt =
      record.consecutiveRepairs > maxImmediateRepairs
        ? now + tokenRetryMs(namespaceBackoff, record.consecutiveRepairs - maxImmediateRepairs, random)
        : now;
  }

  isBackingOff(namespace: string, action: string, now: number): boolean {
    return (this.#records.get(namespace)?.get(action)?.retryAt ?? now) > now;
  }

  /** These are wanted of a namespace; all others are done, or wanted no longer. */
  updatePlanned(namespace: string, actions: readonly string[]): void {
    for (const [action, record] of this.#records.get(namespace) ?? []) {
      record.isPlanned = actions.includes(action);
      record.failures = record.isPlanned ? record.failures : 0;
    }
  }

  /** Namespaces that have something to try again now. Forgets what nobody needs to remember any more. */
  takeDue(now: number): string[] {
    const names: string[] = [];
    for (const [namespace, ofNamespace] of this.#records) {
      for (const [action, { isPlanned, lastDoneAt }] of ofNamespace) {
        if (!isPlanned && now - lastDoneAt >= flappingWindowMs) ofNamespace.delete(action);
      }
      if (ofNamespace.size === 0) this.#records.delete(namespace);
      if ([...ofNamespace.values()].some(({ isPlanned, retryAt }) => isPlanned && retryAt <= now))
        names.push(namespace);
    }
    return names;
  }

  #record(namespace: string, action: string): History {
    const ofNamespace = this.#records.get(namespace) ?? new Map<string, History>();
    const none = {
      failures: 0,
      consecutiveRepairs: 0,
      lastDoneAt: Number.NEGATIVE_INFINITY,
      retryAt: 0,
      isPlanned: false,
    };
    const record = ofNamespace.get(action) ?? none;
    this.#records.set(namespace, ofNamespace.set(action, record));
    return record;
  }
}
