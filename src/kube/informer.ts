import { setTimeout as wait } from 'node:timers/promises';
import { apiServerBackoff, backoffMs } from '../util/backoff.ts';
import type { ClusterConfig } from './client.ts';
import { errorOf, KubeError, type KubeErrorCode } from './errors.ts';
import { listAll } from './list.ts';
import { identityOf, type ObjectError, reportedOnce } from './object-error.ts';
import type { ObjectIdentity, Resource, Sink } from './resource.ts';
import { compareResourceVersions } from './resource-version.ts';
import { type WatchEvent, watchStream } from './watch-stream.ts';

/** What may be set of a watch. */
export interface WatchSettings {
  /** Called for each failure that is then retried; a throw from it is swallowed. */
  onError?: (error: KubeError) => void;
  /** Called for each object that cannot be read, once for each namespace and name; a throw from it is swallowed. */
  onObjectError?: (error: ObjectError) => void;
  /** Milliseconds that the stream may be broken and still count as in sync. */
  graceMs?: number;
  /** Seconds that one stream lasts; see {@link watchStream}. */
  streamSeconds?: number;
  /** Milliseconds beyond that after which silence counts as a dead connection. */
  slackMs?: number;
  /** Milliseconds after which everything is listed again, though nothing failed. */
  relistMs?: number;
  /** A clock in milliseconds. */
  now?: () => number;
  /** How long to wait after the n-th failure in a row, in milliseconds. */
  backoff?: (failures: number) => number;
}

/** What to watch, and whom to tell. */
export interface FollowOptions<T> extends WatchSettings {
  config: ClusterConfig;
  resource: Resource<T>;
  sink: Sink<T>;
}

// Longer than an API server behind a load balancer needs to come back, so that a restart of it does not take
// all replicas out of service; short against the hours that a token lives.
const GRACE_MS = 10_000;
// Half-open connections are found within 30 s, for one request each 25 s.
const STREAM_SECONDS = 25;
const SLACK_MS = 5_000;
// An etcd that was restored from a backup counts on from an older version. A watch from a version that is yet to come
// is taken, and says nothing (seen with 1.37): no failure shows it, only a list does.
const RELIST_MS = 30 * 60_000;
// A stream that ends sooner, without an event, was no success: a load balancer without a backend, say.
const SHORTEST_LIFE_MS = 1_000;

// What lies between the last version and now can no longer be had, or was not understood: list again.
const LIST_AGAIN: ReadonlySet<KubeErrorCode> = new Set(['gone', 'invalid', 'unknown']);

/** A running watch. */
export interface Watch {
  /** Starts. Resolves after the first list, or when stopped before; never rejects. A second call changes nothing. */
  start(): Promise<void>;
  /** Stops, and resolves when nothing is under way any more: the sink is not called after that. */
  stop(): Promise<void>;
  /** The sink has seen a list, and the stream is open or has been broken for less than the grace. */
  inSync(): boolean;
}

/**
 * Follows a resource through restarts, resets, expired versions,
 * failures and silence of the API server: list, then watch, until stopped.
 *
 * client-node's informer is not used: any failure but 410 ends it for good.
 */
export function follow<T>(options: FollowOptions<T>): Watch {
  return new ListAndWatch(options);
}

class ListAndWatch<T> implements Watch {
  readonly #options: Required<FollowOptions<T>>;
  readonly #firstList = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  readonly #report: (identity: ObjectIdentity, cause: unknown) => void;
  #running: Promise<void> | undefined;
  /** The version to watch from; undefined: a list is needed. */
  #version: string | undefined;
  /** The latest version that was seen. */
  #reached: string | undefined;
  #listedAt = 0;
  #failures = 0;
  #everListed = false;
  #connected = false;
  #brokenSince = 0;

  constructor(options: FollowOptions<T>) {
    this.#options = {
      onError: () => undefined,
      onObjectError: () => undefined,
      graceMs: GRACE_MS,
      streamSeconds: STREAM_SECONDS,
      slackMs: SLACK_MS,
      relistMs: RELIST_MS,
      now: () => performance.now(),
      backoff: (failures) => backoffMs(apiServerBackoff, failures, Math.random()),
      ...options,
    };
    this.#report = reportedOnce(options.resource, this.#options.onObjectError);
  }

  start(): Promise<void> {
    this.#running ??= this.#run();
    return this.#firstList.promise;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#firstList.resolve();
    await this.#running;
  }

  inSync(): boolean {
    const { now, graceMs } = this.#options;
    if (!this.#everListed || this.#stop.signal.aborted) return false;
    return this.#connected || now() - this.#brokenSince < graceMs;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        this.#version ??= await this.#list();
        await this.#watch(this.#version);
      } catch (error) {
        if (!signal.aborted) this.#failed(errorOf(error, `watch ${this.#options.resource.noun}`));
      }
      if (this.#failures === 0) continue;
      await wait(this.#options.backoff(this.#failures), undefined, { signal }).catch(() => undefined);
    }
  }

  async #list(): Promise<string> {
    const { config, resource, sink, now } = this.#options;
    const rejected: ObjectIdentity[] = [];
    const reject = (identity: ObjectIdentity, cause: unknown): void => {
      rejected.push(identity);
      this.#reject(identity, cause);
    };
    const take = (item: T, identity: ObjectIdentity): boolean =>
      this.#isolated(identity, () => sink.set(item), reject);
    const { items, resourceVersion } = await listAll(config, resource, this.#stop.signal, { take, reject });
    // What the sink knows is of a past that did not happen.
    if (compareResourceVersions(resourceVersion, this.#reached) === -1) this.#tell(() => sink.replace([]));
    this.#tell(() => sink.replace(items));
    // They are not among the items, but they are there.
    for (const identity of rejected) this.#isolated(identity, () => sink.reject?.(identity), this.#report);
    this.#reached = resourceVersion;
    this.#everListed = true;
    this.#listedAt = now();
    this.#brokenSince = this.#listedAt;
    this.#firstList.resolve();
    return resourceVersion;
  }

  async #watch(resourceVersion: string): Promise<void> {
    const { config, resource, streamSeconds: seconds, slackMs, relistMs, now } = this.#options;
    let openedAt: number | undefined;
    let events = 0;
    let missed = false;
    const onOpen = (): void => {
      openedAt = now();
      this.#connected = true;
    };
    const { signal } = this.#stop;
    const lived = (): boolean =>
      events > 0 || (openedAt !== undefined && now() - openedAt >= SHORTEST_LIFE_MS);
    try {
      for await (const event of watchStream({
        config,
        resource,
        resourceVersion,
        seconds,
        slackMs,
        signal,
        onOpen,
      })) {
        if (event.type === 'UNREADABLE') {
          if (!missed) this.#notify(event.error);
          missed = true;
          continue;
        }
        this.#pass(event);
        this.#version = event.resourceVersion;
        this.#reached = event.resourceVersion;
        events += 1;
      }
      if (!lived()) this.#failures += 1;
      if (now() - this.#listedAt >= relistMs) this.#version = undefined;
    } finally {
      // Which object the line was about is not known. The list at the end of the stream, and not at once, finds it: the
      // other changes do not wait, and an endpoint that garbles every stream causes one list for each of them.
      if (missed) this.#version = undefined;
      this.#connected = false;
      if (lived()) this.#recovered();
    }
  }

  /** A stream that did not live leaves both as they were, so that flapping does not pass for health. */
  #recovered(): void {
    this.#failures = 0;
    this.#brokenSince = this.#options.now();
  }

  #pass({ type, object, resourceVersion }: WatchEvent): void {
    if (type === 'BOOKMARK') return;
    const { sink, resource } = this.#options;
    const identity = identityOf(object);
    const take = (): void => {
      const item = type === 'DELETED' ? undefined : resource.item(object);
      if (type === 'DELETED') sink.remove(identity, resourceVersion);
      else if (item !== undefined) sink.set(item);
    };
    this.#isolated(identity, take, (id, cause) => this.#reject(id, cause));
  }

  /** Does something with one object. A throw concerns this object only. @returns whether it was done */
  #isolated(
    identity: ObjectIdentity,
    call: () => void,
    reject: (identity: ObjectIdentity, cause: unknown) => void,
  ): boolean {
    if (this.#stop.signal.aborted) return false;
    try {
      call();
      return true;
    } catch (cause) {
      reject(identity, cause);
      return false;
    }
  }

  #reject(identity: ObjectIdentity, cause: unknown): void {
    const { sink } = this.#options;
    this.#report(identity, cause);
    if (identity.name !== '') this.#isolated(identity, () => sink.reject?.(identity), this.#report);
  }

  /** A sink that threw for a whole list has missed something, so this is a failure that asks for another list. */
  #tell(call: () => void): void {
    if (this.#stop.signal.aborted) return;
    try {
      call();
    } catch (error) {
      // Our own code saw metadata only: its message holds no Secret data.
      const detail = error instanceof Error ? `${error.name}: ${error.message}`.slice(0, 200) : typeof error;
      throw new KubeError({ code: 'unknown', operation: 'take in what the watch reported', detail });
    }
  }

  #failed(error: KubeError): void {
    this.#failures += 1;
    if (LIST_AGAIN.has(error.code)) this.#version = undefined;
    this.#notify(error);
  }

  #notify(error: KubeError): void {
    try {
      this.#options.onError(error);
    } catch {
      // Whoever counts or logs failures must not become one.
    }
  }
}
