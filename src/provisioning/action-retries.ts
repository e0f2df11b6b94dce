import { backoffMs, namespaceBackoff } from '../util/backoff.ts';

/** What is undone again within this time is a quarrel, ms: longer than the longest wait. */
const quarrelMs = 900_000;

/** Times in a row that something is done again at once, after somebody undid it. */
const patience = 2;

/** All times in ms of a clock that is never set. */
interface History {
  failures: number;
  /** How often it was done in a row, each time soon after the last. */
  done: number;
  doneAt: number;
  /** Not to be tried before. */
  until: number;
  /** Whether it is still to be done. */
  wanted: boolean;
}

/**
 * When an action may be tried again, each alone. There is no last try. What somebody undoes again and again is done less
 * and less often too: they may be another controller, which never tires.
 */
export class Retries {
  /** Namespace → action → history. */
  readonly #records = new Map<string, Map<string, History>>();

  /** @returns ms until the next try */
  failed(namespace: string, action: string, now: number, random: number): number {
    const record = this.#record(namespace, action);
    record.failures += 1;
    record.wanted = true;
    const ms = backoffMs(namespaceBackoff, record.failures, random);
    record.until = now + ms;
    return ms;
  }

  succeeded(namespace: string, action: string, now: number, random: number): void {
    const record = this.#record(namespace, action);
    record.done = now - record.doneAt < quarrelMs ? record.done + 1 : 1;
    record.doneAt = now;
    record.failures = 0;
    record.wanted = false;
    record.until =
      record.done > patience ? now + backoffMs(namespaceBackoff, record.done - patience, random) : now;
  }

  waits(namespace: string, action: string, now: number): boolean {
    return (this.#records.get(namespace)?.get(action)?.until ?? now) > now;
  }

  /** These are wanted of a namespace; all others are done, or wanted no longer. */
  keep(namespace: string, actions: readonly string[]): void {
    for (const [action, record] of this.#records.get(namespace) ?? []) {
      record.wanted = actions.includes(action);
      record.failures = record.wanted ? record.failures : 0;
    }
  }

  /** Namespaces that have something to try again now. Forgets what nobody needs to remember any more. */
  due(now: number): string[] {
    const names: string[] = [];
    for (const [namespace, ofNamespace] of this.#records) {
      for (const [action, { wanted, doneAt }] of ofNamespace) {
        if (!wanted && now - doneAt >= quarrelMs) ofNamespace.delete(action);
      }
      if (ofNamespace.size === 0) this.#records.delete(namespace);
      if ([...ofNamespace.values()].some(({ wanted, until }) => wanted && until <= now))
        names.push(namespace);
    }
    return names;
  }

  #record(namespace: string, action: string): History {
    const ofNamespace = this.#records.get(namespace) ?? new Map<string, History>();
    const none = { failures: 0, done: 0, doneAt: Number.NEGATIVE_INFINITY, until: 0, wanted: false };
    const record = ofNamespace.get(action) ?? none;
    this.#records.set(namespace, ofNamespace.set(action, record));
    return record;
  }
}
