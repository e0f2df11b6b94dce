import { isPermanent, type Shortfall } from '../pull-secrets/unavailable-host.ts';
import { backoffMs, namespaceBackoff, writeBackoff } from '../util/backoff.ts';
import { type Due, type DueKind, type Overdue, type Plan, repeatedCode, type Trouble } from './plan-types.ts';

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
      retryAt: now + backoffMs(why?.cause === 'write' ? writeBackoff : namespaceBackoff, inARow, random),
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
    const keys = new Set(overdue.map(hostKey));
    const recovered = [...this.#told].filter(([key]) => !keys.has(key));
    for (const [key] of recovered) {
      this.#told.delete(key);
    }
    const untold = failing.filter((one) => now - (this.#told.get(hostKey(one))?.at ?? -hourMs) >= hourMs);
    for (const one of untold) {
      this.#told.set(hostKey(one), { namespace: one.namespace, host: one.host, at: now });
    }
    return {
      failing: untold,
      recovered: recovered.map(([, { namespace, host }]) => ({ namespace, host })),
      endangered: this.#endangered(overdue, now),
    };
  }

  /** Lets a host count as not reported, because its Event was not sent. */
  unsent(one: Overdue): void {
    this.#told.delete(hostKey(one));
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

function hostKey({ namespace, host }: { readonly namespace: string; readonly host: string }): string {
  return `${namespace}/${host}`;
}
