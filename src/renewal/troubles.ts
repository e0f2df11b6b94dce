import type { Overdue } from './plan-types.ts';

/** What is to be told about hosts that cannot be renewed. */
export interface Tellings {
  /** Hosts that have failed for long. Told once an hour, since Events live no longer. */
  readonly failing: readonly Overdue[];
  /** Hosts that were told as failing and are well again. */
  readonly recovered: readonly { readonly namespace: string; readonly host: string }[];
  /** What may end soon, by cause: told once an hour. */
  readonly endangered: readonly Endangered[];
}

/** Tokens that end soon and cannot be renewed for one cause. */
export interface Endangered {
  readonly code: string;
  readonly permanent: boolean;
  readonly message: string;
  readonly namespaces: number;
  /** When the first of the tokens ends, in ms since the epoch. */
  readonly firstEnd: number;
}

/** How long a host must keep failing before an Event is emitted, in ms. Shorter failures resolve themselves. */
export const longMs = 600_000;

/** The same for a host whose pods cannot pull because the Secret cannot be written, in ms. */
export const urgentMs = 60_000;

/** A token that cannot be renewed is told of when it has no more than this left, ms: a quarter of what ECR gives. */
const dangerMs = 3 * 3_600_000;

const hourMs = 3_600_000;

/** Notices what has to be told, and what was told already. */
export class Troubles {
  readonly #told = new Map<string, { namespace: string; host: string; at: number }>();
  readonly #warned = new Map<string, number>();

  /**
   * @param overdue all hosts that should have been renewed by now
   * @param now the wall clock in ms
   */
  tell(overdue: readonly Overdue[], now: number): Tellings {
    const failing = overdue.filter(
      ({ trouble, isUrgent }) => now - trouble.since >= (isUrgent === true ? urgentMs : longMs),
    );
    const keys = new Set(overdue.map(keyOf));
    const recovered = [...this.#told].filter(([key]) => !keys.has(key));
    for (const [key] of recovered) {
      this.#told.delete(key);
    }
    const untold = failing.filter((one) => now - (this.#told.get(keyOf(one))?.at ?? -hourMs) >= hourMs);
    for (const one of untold) {
      this.#told.set(keyOf(one), { namespace: one.namespace, host: one.host, at: now });
    }
    return {
      failing: untold,
      recovered: recovered.map(([, { namespace, host }]) => ({ namespace, host })),
      endangered: this.#endangered(overdue, now),
    };
  }

  /** Lets a host count as not reported, because its Event was not sent. */
  unsent(one: Overdue): void {
    this.#told.delete(keyOf(one));
  }

  #endangered(overdue: readonly Overdue[], now: number): Endangered[] {
    const byCause = Map.groupBy(
      overdue.filter(({ endsAt }) => endsAt !== undefined && endsAt - now < dangerMs),
      ({ trouble: { code, message } }) => `${code} ${message}`,
    );
    for (const [cause, at] of this.#warned) {
      if (!byCause.has(cause) || at > now) {
        this.#warned.delete(cause);
      }
    }
    return [...byCause].flatMap(([cause, hosts]) => {
      const [one] = hosts;
      if (one === undefined || now - (this.#warned.get(cause) ?? -hourMs) < hourMs) {
        return [];
      }
      this.#warned.set(cause, now);
      const { code, permanent, message } = one.trouble;
      const namespaces = new Set(hosts.map(({ namespace }) => namespace)).size;
      const firstEnd = hosts.reduce(
        (first, { endsAt = first }) => Math.min(first, endsAt),
        Number.POSITIVE_INFINITY,
      );
      return [{ code, permanent, message, namespaces, firstEnd }];
    });
  }
}

function keyOf({ namespace, host }: { readonly namespace: string; readonly host: string }): string {
  return `${namespace}/${host}`;
}
