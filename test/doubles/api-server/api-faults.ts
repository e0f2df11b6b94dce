// Faults that tests inject into the API stand-in: failed, hanging and expired requests and watches, a restored etcd.
import { StatusError } from './api-status-error.ts';
import type { Lists } from './lists.ts';
import type { RequestAttributes } from './rbac.ts';
import type { Store } from './store.ts';
import type { Watches } from './watches.ts';

/** Selects the requests of a fault. Without a matcher, a fault applies to all. */
export type RequestMatcher = (request: RequestAttributes) => boolean;

const matchAll: RequestMatcher = () => true;

interface FailOptions {
  count?: number;
  match?: RequestMatcher;
  message?: string;
}

interface PlannedFault {
  remaining: number;
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

/** Injects faults. */
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

  /** Responds to the next matching requests with an error status. */
  failNext(
    status: number,
    { count = 1, match = matchAll, message = 'injected fault' }: FailOptions = {},
  ): void {
    const failure = new StatusError(status, statusReasons[status] ?? '', message);
    this.#planned.push({ remaining: count, match, failure });
  }

  /** Accepts matching requests and never responds, until {@link clear}. */
  hang(match = matchAll): void {
    this.#planned.push({ remaining: Number.POSITIVE_INFINITY, match, failure: 'hang' });
  }

  /** Ends open watches: orderly, or with a connection reset. */
  dropWatches(how: 'end' | 'reset'): void {
    this.#watches.drop(how);
  }

  /** Keeps open watches, and new ones until {@link clear}, open without any event, like half-open connections. */
  silence(): void {
    this.#watches.isSilent = true;
  }

  /** Ends open watches with an ERROR event of 410. */
  expireWatches(): void {
    this.#watches.expire();
  }

  /** Simulates a compaction of etcd: watches and lists cannot continue from older versions. */
  compact(): void {
    this.#store.compact();
    this.#lists.expire();
  }

  /** Simulates that etcd is restored from a backup: versions continue from an earlier one. */
  rewind(version: number): void {
    this.#store.rewind(version);
    this.#lists.expire();
  }

  /** Removes all faults. Requests that hang are not resumed. */
  clear(): void {
    this.#planned = [];
    this.#watches.isSilent = false;
  }

  /** Returns the fault for a request, and counts it as used. */
  take(request: RequestAttributes): StatusError | 'hang' | undefined {
    const planned = this.#planned.find(({ remaining, match }) => remaining > 0 && match(request));
    if (planned === undefined) {
      return undefined;
    }
    planned.remaining -= 1;
    return planned.failure;
  }
}
