// Faults that the API stand-in injects.
import { StatusError } from './api-status-error.ts';
import type { Lists } from './lists.ts';
import type { Attempt } from './rbac.ts';
import type { Store } from './store.ts';
import type { Watches } from './watches.ts';

/** Which requests a fault is for; all, where it is left out. */
export type RequestMatcher = (request: Attempt) => boolean;

const every: RequestMatcher = () => true;

interface FailOptions {
  count?: number;
  match?: RequestMatcher;
  message?: string;
}

interface PlannedFault {
  left: number;
  match: RequestMatcher;
  failure: StatusError | 'hang';
}

const statusReasons: Record<number, string> = {
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Expired',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
};

/** What goes wrong on command. */
export class ApiFaults {
  readonly #store: Store;
  readonly #lists: Lists;
  readonly #watches: Watches;
  #planned: PlannedFault[] = [];

  constructor(store: Store, lists: Lists, watches: Watches) {
    this.#store = store;
    this.#lists = lists;
    this.#watches = watches;
  }

  /** The next requests that match are answered with this status (and message). */
  failNext(status: number, { count = 1, match = every, message = 'as ordered' }: FailOptions = {}): void {
    const failure = new StatusError(status, statusReasons[status] ?? '', message);
    this.#planned.push({ left: count, match, failure });
  }

  /** Requests that match are taken and never answered, until {@link clear}. */
  hang(match = every): void {
    this.#planned.push({ left: Number.POSITIVE_INFINITY, match, failure: 'hang' });
  }

  /** Open watches end: in order, or by a connection reset. */
  dropWatches(how: 'end' | 'reset'): void {
    this.#watches.drop(how);
  }

  /** Open watches, and new ones until {@link clear}, stay open and never say anything more: half-open connections. */
  silence(): void {
    this.#watches.silent = true;
  }

  /** Open watches end with an ERROR event of 410. */
  expireWatches(): void {
    this.#watches.expire();
  }

  /** Older versions are gone, for watches to come and for lists to be continued: etcd was compacted. */
  compact(): void {
    this.#store.compact();
    this.#lists.expire();
  }

  /** etcd is restored from a backup: versions count on from an earlier one. */
  rewind(version: number): void {
    this.#store.rewind(version);
    this.#lists.expire();
  }

  /** No more faults. What hangs, hangs. */
  clear(): void {
    this.#planned = [];
    this.#watches.silent = false;
  }

  /** The fault for a request, used up. */
  take(request: Attempt): StatusError | 'hang' | undefined {
    const planned = this.#planned.find(({ left, match }) => left > 0 && match(request));
    if (planned === undefined) {
      return undefined;
    }
    planned.left -= 1;
    return planned.failure;
  }
}
