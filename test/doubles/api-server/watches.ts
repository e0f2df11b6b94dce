// Watches of the API stand-in.
import type { ServerResponse } from 'node:http';
import { apiVersionOf, type Target } from './api-resources.ts';
import { StatusError } from './api-status-error.ts';
import type { KubeObject } from './kube-object.ts';
import { getRepresentation } from './lists.ts';
import { selects } from './selector-matching.ts';
import type { Change, Store } from './store.ts';

/** A request to watch, and where its answer goes. */
export interface WatchRequest {
  target: Target;
  query: URLSearchParams;
  accept: string | undefined;
  response: ServerResponse;
}

function expired(version: number, oldest: number): StatusError {
  return new StatusError(410, 'Expired', `too old resource version: ${version} (${oldest})`);
}

/** One open watch. */
class Stream {
  readonly #request: WatchRequest;
  /** A half-open connection: there, and mute for good. */
  dead = false;
  readonly #wanted: (object: KubeObject) => boolean;

  /** Changes up to this one are none of its business: a version that is yet to come is waited for in silence. */
  readonly #from: number;

  constructor(request: WatchRequest, from: number) {
    this.#from = from;
    this.#request = request;
    this.#wanted = selects(request.query);
  }

  pass(change: Change): void {
    const { resource, object, version } = change;
    const { target, accept } = this.#request;
    if (resource !== target.resource || version <= this.#from) {
      return;
    }
    if (target.namespace !== undefined && object.metadata.namespace !== target.namespace) {
      return;
    }
    const type = this.#typeOf(change);
    if (type !== undefined) {
      this.#send(type, getRepresentation(accept)(object));
    }
  }

  /** What comes into the selection by a change is new to this watch, and what falls out of it is gone. */
  #typeOf({ type, object, before }: Change): Change['type'] | undefined {
    const wanted = this.#wanted(object);
    if (before === undefined) {
      return wanted ? type : undefined;
    }
    const wasWanted = this.#wanted(before);
    if (wanted) {
      return wasWanted ? type : 'ADDED';
    }
    return wasWanted ? 'DELETED' : undefined;
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
      getRepresentation(accept)({ kind: resource.kind, apiVersion: apiVersionOf(resource), metadata }),
    );
  }

  end(): void {
    if (!this.dead) {
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
    if (!this.dead && !response.writableEnded) {
      response.write(`${JSON.stringify({ type, object })}\n`);
    }
  }
}

/** All watches that are open. */
export class Watches {
  readonly #store: Store;
  readonly #open = new Set<Stream>();
  #silent = false;

  constructor(store: Store) {
    this.#store = store;
    store.subscribe((change) => {
      for (const stream of this.#open) {
        stream.pass(change);
      }
    });
  }

  /** Set, all watches, open and new ones, fall silent for good: no event, no end. Unset, new ones are as ever. */
  set silent(silent: boolean) {
    this.#silent = silent;
    if (!silent) {
      return;
    }
    for (const stream of this.#open) {
      stream.dead = true;
    }
  }

  /** How many are open. */
  get count(): number {
    return this.#open.size;
  }

  /** Ends all: in order (`end`), or by a connection reset. */
  drop(how: 'end' | 'reset'): void {
    for (const stream of this.#open) {
      stream[how]();
    }
  }

  /** Ends all with an ERROR event of 410. */
  expire(): void {
    for (const stream of this.#open) {
      stream.fail(expired(0, this.#store.version));
    }
  }

  /**
   * Answers with a stream: what is there (without a resourceVersion) or what changed since it, then changes as they
   * come, and at `timeoutSeconds` a bookmark and the end. A resourceVersion that is too old is an ERROR event, as in
   * the real one.
   */
  start(request: WatchRequest): void {
    const { target, query, response } = request;
    const { resource, namespace } = target;
    const from = Number(query.get('resourceVersion') ?? 0);
    const stream = new Stream(request, from);
    stream.dead = this.#silent;
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    if (from > 0 && from < this.#store.compacted) {
      stream.fail(expired(from, this.#store.compacted));
      return;
    }
    const there = this.#store.list(resource, namespace);
    const missed: Change[] =
      from > 0
        ? this.#store.since(from)
        : there.map((object) => ({ type: 'ADDED', resource, object, version: 1 }));
    for (const change of missed) {
      stream.pass(change);
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
