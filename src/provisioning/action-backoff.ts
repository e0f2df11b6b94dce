// Decides when a failed or reverted provisioning action is retried.
import { backoffMs, namespaceBackoff } from '../util/backoff.ts';

/** An action that is reverted again within this time is flapping, in ms. Longer than the longest backoff. */
const flappingWindowMs = 900_000;

/** Consecutive repairs without a backoff. */
const maxImmediateRepairs = 2;

/** The history of one action. All times are in ms of the monotonic clock. */
interface ActionHistory {
  consecutiveFailures: number;
  /** Consecutive successes that followed each other within {@link flappingWindowMs}. */
  consecutiveRepairs: number;
  lastSuccessAt: number;
  /** The action does not start before this time. */
  retryAt: number;
  /** Whether the action is in the current plan. */
  isPlanned: boolean;
}

/**
 * Tracks the backoff of each action separately. Retries never end. An action that another writer keeps reverting backs off
 * too, because the writer may be another controller.
 */
export class ActionBackoff {
  /** Namespace → action → history. */
  readonly #histories = new Map<string, Map<string, ActionHistory>>();

  /** @returns ms until the next attempt */
  recordFailure(namespace: string, action: string, now: number, random: number): number {
    const history = this.#history(namespace, action);
    history.consecutiveFailures += 1;
    history.isPlanned = true;
    const ms = backoffMs(namespaceBackoff, history.consecutiveFailures, random);
    history.retryAt = now + ms;
    return ms;
  }

  recordSuccess(namespace: string, action: string, now: number, random: number): void {
    const history = this.#history(namespace, action);
    history.consecutiveRepairs =
      now - history.lastSuccessAt < flappingWindowMs ? history.consecutiveRepairs + 1 : 1;
    history.lastSuccessAt = now;
    history.consecutiveFailures = 0;
    history.isPlanned = false;
    history.retryAt =
      history.consecutiveRepairs > maxImmediateRepairs
        ? now + backoffMs(namespaceBackoff, history.consecutiveRepairs - maxImmediateRepairs, random)
        : now;
  }

  isBackingOff(namespace: string, action: string, now: number): boolean {
    return (this.#histories.get(namespace)?.get(action)?.retryAt ?? now) > now;
  }

  /** Sets the actions in the current plan of a namespace. All others have succeeded or are no longer needed. */
  updatePlanned(namespace: string, actions: readonly string[]): void {
    for (const [action, history] of this.#histories.get(namespace) ?? []) {
      history.isPlanned = actions.includes(action);
      history.consecutiveFailures = history.isPlanned ? history.consecutiveFailures : 0;
    }
  }

  /** Returns the namespaces with actions to retry now. Forgets histories that have no effect any more. */
  takeDue(now: number): string[] {
    const names: string[] = [];
    for (const [namespace, ofNamespace] of this.#histories) {
      for (const [action, { isPlanned, lastSuccessAt }] of ofNamespace) {
        if (!isPlanned && now - lastSuccessAt >= flappingWindowMs) {
          ofNamespace.delete(action);
        }
      }
      if (ofNamespace.size === 0) {
        this.#histories.delete(namespace);
      }
      if ([...ofNamespace.values()].some(({ isPlanned, retryAt }) => isPlanned && retryAt <= now)) {
        names.push(namespace);
      }
    }
    return names;
  }

  #history(namespace: string, action: string): ActionHistory {
    const ofNamespace = this.#histories.get(namespace) ?? new Map<string, ActionHistory>();
    const none: ActionHistory = {
      consecutiveFailures: 0,
      consecutiveRepairs: 0,
      lastSuccessAt: Number.NEGATIVE_INFINITY,
      retryAt: 0,
      isPlanned: false,
    };
    const history = ofNamespace.get(action) ?? none;
    this.#histories.set(namespace, ofNamespace.set(action, history));
    return history;
  }
}
