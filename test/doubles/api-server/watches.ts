// Watches of the API stand-in: events, bookmarks, timeouts, and injected faults.
import type { ServerResponse } from 'node:http';
import { getApiVersion, type Target } from './api-resources.ts';
import { StatusError } from './api-status-error.ts';
import type { KubeObject } from './kube-object.ts';
import { getRepresentation } from './lists.ts';
import { createSelector } from './selector-matching.ts';
import type { Change, Store } from './store.ts';

/** A watch request and its response. */
export interface WatchRequest {
  target: Target;
  query: URLSearchParams;
  accept: string | undefined;
  response: ServerResponse;
}

function createExpired(version: number, oldest: number): StatusError {
  return new StatusError(410, 'Expired', `too old resource version: ${version} (${oldest})`);
}

/** One open watch. */
class Stream {
  readonly #request: WatchRequest;
  /** Sends nothing any more, like a half-open connection. */
  isSilent = false;
  readonly #isSelected: (object: KubeObject) => boolean;

  /** Changes up to this version are not sent. It can be a version that does not exist yet. */
  readonly #from: number;

  constructor(request: WatchRequest, from: number) {
    this.#from = from;
    this.#request = request;
    this.#isSelected = createSelector(request.query);
  }

  handleChange(change: Change): void {
    const { resource, object, version } = change;
    const { target, accept } = this.#request;
    if (resource !== target.resource || version <= this.#from) {
      return;
    }
    if (target.namespace !== undefined && object.metadata.namespace !== target.namespace) {
      return;
    }
    const type = this.#getType(change);
    if (type !== undefined) {
      this.#send(type, getRepresentation(accept)(object));
    }
  }

  /** An object that a change makes match the selector is ADDED, and one that no longer matches is DELETED. */
  #getType({ type, object, before }: Change): Change['type'] | undefined {
    const isSelected = this.#isSelected(object);
    if (before === undefined) {
      return isSelected ? type : undefined;
    }
    const wasSelected = this.#isSelected(before);
    if (isSelected) {
      return wasSelected ? type : 'ADDED';
    }
    return wasSelected ? 'DELETED' : undefined;
  }

  bookmark(version: number): void {
    const { target, query, accept } = this.#request;
    if (query.get('allowWatchBookmarks') !== 'true' || version <= this.#from) {
      return;
    }
    const { resource } = target;
    const metadata = { name: '', uid: '', creationTimestamp: '', resourceVersion: String(version) };
    this.#send(
      'BOOKMARK',
      getRepresentation(accept)({ kind: resource.kind, apiVersion: getApiVersion(resource), metadata }),
    );
  }

  end(): void {
    if (!this.isSilent) {
      this.#request.response.end();
    }
  }

  fail(failure: StatusError): void {
    this.#send('ERROR', failure.status());
    this.end();
  }

  reset(): void {
    this.#request.response.socket?.resetAndDestroy();
  }

  #send(type: string, object: Record<string, unknown>): void {
    const { response } = this.#request;
    if (!this.isSilent && !response.writableEnded) {
      response.write(`${JSON.stringify({ type, object })}\n`);
    }
  }
}

/** All open watches. */
export class Watches {
  readonly #store: Store;
  readonly #open = new Set<Stream>();
  #silent = false;

  constructor(store: Store) {
    this.#store = store;
    store.subscribe((change) => {
      for (const stream of this.#open) {
        stream.handleChange(change);
      }
    });
  }

  /** While true, open and new watches send no events and do not end. Watches that were silenced stay silent. */
  set isSilent(isSilent: boolean) {
    this.#silent = isSilent;
    if (!isSilent) {
      return;
    }
    for (const stream of this.#open) {
      stream.isSilent = true;
    }
  }

  /** Number of open watches. */
  get count(): number {
    return this.#open.size;
  }

  /** Ends all watches: orderly (`end`), or with a connection reset. */
  drop(how: 'end' | 'reset'): void {
    for (const stream of this.#open) {
      stream[how]();
    }
  }

  /** Ends all watches with an ERROR event of 410. */
  expire(): void {
    for (const stream of this.#open) {
      stream.fail(createExpired(0, this.#store.version));
    }
  }

  /**
   * Responds with a stream. It begins with all objects, or with the changes since a given resourceVersion, continues with
   * later changes, and ends after `timeoutSeconds` with a bookmark. If the resourceVersion is too old, an ERROR event is sent,
   * as by the real API server.
   */
  start(request: WatchRequest): void {
    const { target, query, response } = request;
    const { resource, namespace } = target;
    const from = Number(query.get('resourceVersion') ?? 0);
    const stream = new Stream(request, from);
    stream.isSilent = this.#silent;
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    if (from > 0 && from < this.#store.compacted) {
      stream.fail(createExpired(from, this.#store.compacted));
      return;
    }
    const objects = this.#store.list(resource, namespace);
    const changes: Change[] =
      from > 0
        ? this.#store.since(from)
        : objects.map((object) => ({ type: 'ADDED', resource, object, version: 1 }));
    for (const change of changes) {
      stream.handleChange(change);
    }
    this.#open.add(stream);
    const seconds = Number(query.get('timeoutSeconds') ?? 1800);
    const timer = setTimeout(() => {
      stream.bookmark(this.#store.version);
      stream.end();
    }, seconds * 1000);
    response.on('close', () => {
      clearTimeout(timer);
      this.#open.delete(stream);
    });
  }
}
