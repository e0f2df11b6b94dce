// Lists and watches a resource: reconnects, retries with backoff and lists again when needed.
import { setTimeout as wait } from 'node:timers/promises';
import { apiServerBackoff, backoffMs } from '../util/backoff.ts';
import type { ClusterConfig } from './client.ts';
import { KubeError, type KubeErrorCode, toKubeError } from './errors.ts';
import { listAll } from './list.ts';
import { createOnceReporter, getObjectIdentity, type ObjectError } from './object-error.ts';
import type { ObjectIdentity, Resource, ResourceEventHandler } from './resource.ts';
import { compareResourceVersions } from './resource-version.ts';
import { streamEvents, type WatchEvent } from './watch-stream.ts';

/** What an informer does: it lists, and then watches from there. */
export type InformerPhase = 'list' | 'watch';

/** Options of every informer. */
export interface CommonInformerOptions {
  /** Called for each failure, which is then retried. An error that it throws is ignored. */
  onError?: (error: KubeError, phase: InformerPhase) => void;
  /** Called for each object that cannot be parsed, once per namespace and name. An error that it throws is ignored. */
  onObjectError?: (error: ObjectError) => void;
  /** How long the stream may be interrupted while the informer still counts as in sync, in ms. */
  graceMs?: number;
  /** Duration of one stream in seconds; see {@link streamEvents}. */
  streamSeconds?: number;
  /** How long after that a stream may stay open before its connection counts as dead, in ms. */
  slackMs?: number;
  /** Interval of full lists, in ms, even without failures. */
  relistMs?: number;
  /** A monotonic clock, in ms. */
  now?: () => number;
  /** Returns the delay after the given number of consecutive failures, in ms. */
  backoff?: (failures: number) => number;
}

/** Options of {@link createInformer}. */
export interface InformerOptions<T> extends CommonInformerOptions {
  config: ClusterConfig;
  resource: Resource<T>;
  handler: ResourceEventHandler<T>;
}

// Longer than the restart of an API server behind a load balancer, so that a restart does not make all replicas unready.
// Short compared with the lifetime of a token, which is hours.
const defaultGraceMs = 10_000;
// Half-open connections are detected within 30 s, at the cost of one request every 25 s.
const defaultStreamSeconds = 25;
const defaultSlackMs = 5_000;
// An etcd that was restored from a backup continues from an older resourceVersion. The API server accepts a watch from a future
// resourceVersion and sends no events (observed with 1.37). There is no failure, so only a list detects it.
const defaultRelistMs = 30 * 60_000;
// A stream that ends sooner, without an event, counts as a failure, for example of a load balancer without a backend.
const minStreamLifetimeMs = 1_000;

// After these failures, the changes since the last resourceVersion are unavailable or could not be parsed, so list again.
const relistCodes: ReadonlySet<KubeErrorCode> = new Set(['gone', 'invalid', 'unknown']);

/** Keeps a handler up to date with a resource. */
export interface Informer {
  /** Starts. Resolves after the first list or when stopped before; never rejects. A second call has no effect. */
  start(): Promise<void>;
  /** Stops. Resolves when no request is in flight; the handler is not called after that. */
  stop(): Promise<void>;
  /** Whether the handler has received a list, and the stream is open or interrupted for less than `graceMs`. */
  isInSync(): boolean;
}

/**
 * Creates an informer: it lists and then watches a resource until stopped, through restarts, connection resets, expired
 * resourceVersions, failures and silence of the API server.
 *
 * client-node's informer is not used, because any failure except 410 stops it permanently.
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
  /** The resourceVersion to watch from; undefined if a list is needed. */
  #watchFromVersion: string | undefined;
  /** The latest resourceVersion that was received. */
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
      backoff: (failures) => backoffMs(apiServerBackoff, failures, Math.random()),
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
    if (!this.#hasListed || this.#stop.signal.aborted) {
      return false;
    }
    return this.#isConnected || now() - this.#disconnectedAt < graceMs;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      let phase: InformerPhase = 'list';
      try {
        this.#watchFromVersion ??= await this.#list();
        phase = 'watch';
        await this.#watch(this.#watchFromVersion);
      } catch (error) {
        if (!signal.aborted) {
          this.#recordFailure(toKubeError(error, `${phase} ${this.#options.resource.noun}`), phase);
        }
      }
      if (this.#failures === 0) {
        continue;
      }
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
    const accept = (item: T, identity: ObjectIdentity): boolean =>
      this.#runIsolated(identity, () => handler.set(item), reject);
    const { items, resourceVersion } = await listAll(config, resource, this.#stop.signal, { accept, reject });
    // The resourceVersion went backwards (etcd was restored), so the state of the handler is discarded.
    if (compareResourceVersions(resourceVersion, this.#latestVersion) === -1) {
      this.#notifyHandler(() => handler.replace([]));
    }
    this.#notifyHandler(() => handler.replace(items));
    // The rejected objects are not among the items, but they exist.
    for (const identity of rejected) {
      this.#runIsolated(identity, () => handler.reject?.(identity), this.#reportObject);
    }
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
    let hasInvalidLine = false;
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
        if (event.type === 'INVALID') {
          if (!hasInvalidLine) {
            this.#reportError(event.error, 'watch');
          }
          hasInvalidLine = true;
          continue;
        }
        this.#handleEvent(event);
        this.#watchFromVersion = event.resourceVersion;
        this.#latestVersion = event.resourceVersion;
        events += 1;
      }
      if (!wasHealthy()) {
        this.#failures += 1;
      }
      if (now() - this.#listedAt >= relistMs) {
        this.#watchFromVersion = undefined;
      }
    } finally {
      // It is unknown which object the line was about, so list again. The list waits for the end of the stream, so that the
      // other changes are not delayed, and an endpoint that corrupts every stream causes only one list per stream.
      if (hasInvalidLine) {
        this.#watchFromVersion = undefined;
      }
      this.#isConnected = false;
      if (wasHealthy()) {
        this.#recordRecovery();
      }
    }
  }

  /** Resets the failures. Not called for a short stream without events, so that a flapping connection counts as broken. */
  #recordRecovery(): void {
    this.#failures = 0;
    this.#disconnectedAt = this.#options.now();
  }

  #handleEvent({ type, object, resourceVersion }: WatchEvent): void {
    if (type === 'BOOKMARK') {
      return;
    }
    const { handler, resource } = this.#options;
    const identity = getObjectIdentity(object);
    const deliver = (): void => {
      const item = type === 'DELETED' ? undefined : resource.parseItem(object);
      if (type === 'DELETED') {
        handler.remove(identity, resourceVersion);
      } else if (item !== undefined) {
        handler.set(item);
      }
    };
    this.#runIsolated(identity, deliver, (id, cause) => this.#reject(id, cause));
  }

  /**
   * Runs a call for one object. If it throws, only this object is rejected.
   * @returns whether the call succeeded
   */
  #runIsolated(
    identity: ObjectIdentity,
    call: () => void,
    reject: (identity: ObjectIdentity, cause: unknown) => void,
  ): boolean {
    if (this.#stop.signal.aborted) {
      return false;
    }
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
    if (identity.name !== '') {
      this.#runIsolated(identity, () => handler.reject?.(identity), this.#reportObject);
    }
  }

  /** Calls the handler with a whole list. If it throws, it has missed changes, so this counts as a failure. */
  #notifyHandler(call: () => void): void {
    if (this.#stop.signal.aborted) {
      return;
    }
    try {
      call();
    } catch (error) {
      // The handler is part of this program and receives metadata only, so the message contains no Secret data.
      const detail = error instanceof Error ? `${error.name}: ${error.message}`.slice(0, 200) : typeof error;
      throw new KubeError({ code: 'unknown', operation: 'process the listed objects', detail });
    }
  }

  #recordFailure(error: KubeError, phase: InformerPhase): void {
    this.#failures += 1;
    if (relistCodes.has(error.code)) {
      this.#watchFromVersion = undefined;
    }
    this.#reportError(error, phase);
  }

  #reportError(error: KubeError, phase: InformerPhase): void {
    try {
      this.#options.onError(error, phase);
    } catch {
      // An error while reporting a failure must not cause another failure.
    }
  }
}
