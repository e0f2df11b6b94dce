import { setTimeout as wait } from 'node:timers/promises';
import { apiServerBackoff, tokenRetryMs } from '../util/backoff.ts';
import type { ClusterConfig } from './client.ts';
import { KubeError, type KubeErrorCode, toKubeError } from './errors.ts';
import { listAll } from './list.ts';
import { createOnceReporter, getObjectIdentity, type ObjectError } from './object-error.ts';
import type { ObjectIdentity, Resource, ResourceEventHandler } from './resource.ts';
import { compareResourceVersions } from './resource-version.ts';
import { streamEvents, type WatchEvent } from './watch-stream.ts';

/** What may be set of a watch. */
export interface CommonInformerOptions {
  /** Called for each failure that is then retried; a throw from it is swallowed. */
  onError?: (error: KubeError) => void;
  /** Called for each object that cannot be read, once for each namespace and name; a throw from it is swallowed. */
  onObjectError?: (error: ObjectError) => void;
  /** Milliseconds that the stream may be broken and still count as in sync. */
  graceMs?: number;
  /** Seconds that one stream lasts; see {@link streamEvents}. */
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
export interface InformerOptions<T> extends CommonInformerOptions {
  config: ClusterConfig;
  resource: Resource<T>;
  handler: ResourceEventHandler<T>;
}

// Longer than an API server behind a load balancer needs to come back, so that a restart of it does not take
// all replicas out of service; short against the hours that a token lives.
const defaultGraceMs = 10_000;
// Half-open connections are found within 30 s, for one request each 25 s.
const defaultStreamSeconds = 25;
const defaultSlackMs = 5_000;
// An etcd that was restored from a backup counts on from an older version. A watch from a version that is yet to come
// is taken, and says nothing (seen with 1.37): no failure shows it, only a list does.
const defaultRelistMs = 30 * 60_000;
// A stream that ends sooner, without an event, was no success: a load balancer without a backend, say.
const minStreamLifetimeMs = 1_000;

// What lies between the last version and now can no longer be had, or was not understood: list again.
const relistCodes: ReadonlySet<KubeErrorCode> = new Set(['gone', 'invalid', 'unknown']);

/** A running watch. */
export interface Informer {
  /** Starts. Resolves after the first list, or when stopped before; never rejects. A second call changes nothing. */
  start(): Promise<void>;
  /** Stops, and resolves when nothing is under way any more: the sink is not called after that. */
  stop(): Promise<void>;
  /** The sink has seen a list, and the stream is open or has been broken for less than the grace. */
  isInSync(): boolean;
}

/**
 * Follows a resource through restarts, resets, expired versions,
 * failures and silence of the API server: list, then watch, until stopped.
 *
 * client-node's informer is not used: any failure but 410 ends it for good.
 */
export function createInformer<T>(options: InformerOptions<T>): Informer {
  return new ListWatchInformer(options);
}

class ListWatchInformer<T> implements Informer {
  readonly #options: Required<InformerOptions<T>>;
  readonly #firstList = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  readonly #reportObject: (identity: ObjectIdentity, cause: unknown) => void;
  #running: Promise<void> | undefined;
  /** The version to watch from; undefined: a list is needed. */
  #watchFromVersion: string | undefined;
  /** The latest version that was seen. */
  #latestVersion: string | undefined;
  #listedAt = 0;
  #failures = 0;
  #hasListed = false;
  #isConnected = false;
  #disconnectedAt = 0;

  constructor(options: InformerOptions<T>) {
    this.#options = {
      onError: () => undefined,
      onObjectError: () => undefined,
      graceMs: defaultGraceMs,
      streamSeconds: defaultStreamSeconds,
      slackMs: defaultSlackMs,
      relistMs: defaultRelistMs,
      now: () => performance.now(),
      backoff: (failures) => tokenRetryMs(apiServerBackoff, failures, Math.random()),
      ...options,
    };
    this.#reportObject = createOnceReporter(options.resource, this.#options.onObjectError);
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

  isInSync(): boolean {
    const { now, graceMs } = this.#options;
    if (!this.#hasListed || this.#stop.signal.aborted) return false;
    return this.#isConnected || now() - this.#disconnectedAt < graceMs;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        this.#watchFromVersion ??= await this.#list();
        await this.#watch(this.#watchFromVersion);
      } catch (error) {
        if (!signal.aborted) this.#recordFailure(toKubeError(error, `watch ${this.#options.resource.noun}`));
      }
      if (this.#failures === 0) continue;
      await wait(this.#options.backoff(this.#failures), undefined, { signal }).catch(() => undefined);
    }
  }

  async #list(): Promise<string> {
    const { config, resource, handler, now } = this.#options;
    const rejected: ObjectIdentity[] = [];
    const reject = (identity: ObjectIdentity, cause: unknown): void => {
      rejected.push(identity);
      this.#reject(identity, cause);
    };
    const take = (item: T, identity: ObjectIdentity): boolean =>
      this.#runIsolated(identity, () => handler.set(item), reject);
    const { items, resourceVersion } = await listAll(config, resource, this.#stop.signal, { take, reject });
    // What the sink knows is of a past that did not happen.
    if (compareResourceVersions(resourceVersion, this.#latestVersion) === -1)
      this.#notifyHandler(() => handler.replace([]));
    this.#notifyHandler(() => handler.replace(items));
    // They are not among the items, but they are there.
    for (const identity of rejected)
      this.#runIsolated(identity, () => handler.reject?.(identity), this.#reportObject);
    this.#latestVersion = resourceVersion;
    this.#hasListed = true;
    this.#listedAt = now();
    this.#disconnectedAt = this.#listedAt;
    this.#firstList.resolve();
    return resourceVersion;
  }

  async #watch(resourceVersion: string): Promise<void> {
    const { config, resource, streamSeconds: seconds, slackMs, relistMs, now } = this.#options;
    let openedAt: number | undefined;
    let events = 0;
    let hasUnreadableLine = false;
    const onOpen = (): void => {
      openedAt = now();
      this.#isConnected = true;
    };
    const { signal } = this.#stop;
    const wasHealthy = (): boolean =>
      events > 0 || (openedAt !== undefined && now() - openedAt >= minStreamLifetimeMs);
    try {
      for await (const event of streamEvents({
        config,
        resource,
        resourceVersion,
        seconds,
        slackMs,
        signal,
        onOpen,
      })) {
        if (event.type === 'UNREADABLE') {
          if (!hasUnreadableLine) this.#reportError(event.error);
          hasUnreadableLine = true;
          continue;
        }
        this.#handleEvent(event);
        this.#watchFromVersion = event.resourceVersion;
        this.#latestVersion = event.resourceVersion;
        events += 1;
      }
      if (!wasHealthy()) this.#failures += 1;
      if (now() - this.#listedAt >= relistMs) this.#watchFromVersion = undefined;
    } finally {
      // Which object the line was about is not known. The list at the end of the stream, and not at once, finds it: the
      // other changes do not wait, and an endpoint that garbles every stream causes one list for each of them.
      if (hasUnreadableLine) this.#watchFromVersion = undefined;
      this.#isConnected = false;
      if (wasHealthy()) this.#recordRecovery();
    }
  }

  /** A stream that did not live leaves both as they were, so that flapping does not pass for health. */
  #recordRecovery(): void {
    this.#failures = 0;
    this.#disconnectedAt = this.#options.now();
  }

  #handleEvent({ type, object, resourceVersion }: WatchEvent): void {
    if (type === 'BOOKMARK') return;
    const { handler, resource } = this.#options;
    const identity = getObjectIdentity(object);
    const take = (): void => {
      const item = type === 'DELETED' ? undefined : resource.parseItem(object);
      if (type === 'DELETED') handler.remove(identity, resourceVersion);
      else if (item !== undefined) handler.set(item);
    };
    this.#runIsolated(identity, take, (id, cause) => this.#reject(id, cause));
  }

  /** Does something with one object. A throw concerns this object only. @returns whether it was done */
  #runIsolated(
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
    const { handler } = this.#options;
    this.#reportObject(identity, cause);
    if (identity.name !== '')
      this.#runIsolated(identity, () => handler.reject?.(identity), this.#reportObject);
  }

  /** A sink that threw for a whole list has missed something, so this is a failure that asks for another list. */
  #notifyHandler(call: () => void): void {
    if (this.#stop.signal.aborted) return;
    try {
      call();
    } catch (error) {
      // Our own code saw metadata only: its message holds no Secret data.
      const detail = error instanceof Error ? `${error.name}: ${error.message}`.slice(0, 200) : typeof error;
      throw new KubeError({ code: 'unknown', operation: 'take in what the watch reported', detail });
    }
  }

  #recordFailure(error: KubeError): void {
    this.#failures += 1;
    if (relistCodes.has(error.code)) this.#watchFromVersion = undefined;
    this.#reportError(error);
  }

  #reportError(error: KubeError): void {
    try {
      this.#options.onError(error);
    } catch {
      // Whoever counts or logs failures must not become one.
    }
  }
}
