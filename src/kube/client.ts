import type { RequestOptions } from 'node:https';
import { setImmediate as callersContinue } from 'node:timers/promises';
import {
  type Configuration,
  CoreV1Api,
  createConfiguration,
  type HttpLibrary,
  KubeConfig,
  type RequestContext,
  ServerConfiguration,
} from '@kubernetes/client-node';
import { createBoundedHttp } from './bounded-http.ts';
import { CallSlots, type CallSlotsState } from './call-slots.ts';
import { classifyCall, defaultWriteTimeoutMs } from './call-timeouts.ts';
import { Connections } from './connection-pool.ts';
import { KubeError, toKubeError } from './errors.ts';

/** How to reach the API server. */
export interface KubeConfigOptions {
  /** A kubeconfig file; without it client-node's own search: KUBECONFIG, ~/.kube/config, the ServiceAccount of the pod. */
  kubeconfigPath?: string | undefined;
  /** Milliseconds that a read may take, response included. A watch sets a limit of its own. */
  requestTimeoutMs: number;
  /** Milliseconds that a write may take, response included. Default: {@link defaultWriteTimeoutMs}. */
  writeTimeoutMs?: number | undefined;
  /** Called for each call that failed because it got no slot; see {@link slotBounds}. */
  onOverload?: ((state: CallSlotsState) => void) | undefined;
  /** Sent as `User-Agent`: shows up in the API server's audit log and metrics. */
  userAgent: string;
}

/** The API server cannot be reached because of how we are set up: no cluster is named, or its file is unreadable. */
export class KubeConfigError extends Error {
  override readonly name = 'KubeConfigError';
  readonly code: 'no-cluster' | 'unreadable';

  constructor(code: KubeConfigError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Calls in flight at a time. A burst of pods in as many namespaces is a burst of writes. The total stays below the about 98
 * requests that an API server with default settings executes at a time on the priority level `workload-high`
 * (https://kubernetes.io/docs/concepts/cluster-administration/flow-control/), where others have work too.
 */
const slotBounds = {
  quick: 32,
  slow: 32,
  perKey: 4,
  slowAfterMs: 2_000,
  slowForMs: 600_000,
  maxWaitMs: 15_000,
  maxWaiting: 10_000,
  maxWaitingPerKey: 256,
} as const;

/**
 * client-node's KubeConfig with what it lacks: bounds for calls, and connections that are kept.
 * (client-node 2.0.1 makes a new undici Agent for each request, so each one is a new TLS handshake; and its
 * calls ignore a `signal` among their options.)
 */
export class ClusterConfig extends KubeConfig {
  readonly #options: KubeConfigOptions;
  readonly #connections: Connections;
  readonly #slots: CallSlots;
  /** Sends the requests of this config. */
  readonly http: HttpLibrary;

  constructor(options: KubeConfigOptions) {
    super();
    this.#options = options;
    this.#connections = new Connections({
      connectTimeoutMs: options.requestTimeoutMs,
      maxCalls: slotBounds.quick + slotBounds.slow,
      maxWaitMs: slotBounds.maxWaitMs,
    });
    this.#slots = new CallSlots(slotBounds);
    const { requestTimeoutMs, writeTimeoutMs = defaultWriteTimeoutMs, onOverload } = options;
    this.http = createBoundedHttp({
      slots: this.#slots,
      timeouts: { requestTimeoutMs, writeTimeoutMs },
      onOverload: () => onOverload?.(this.#slots.state),
    });
  }

  /** Calls in flight, and calls that wait. */
  get calls(): CallSlotsState {
    return this.#slots.state;
  }

  /** Called by client-node's generated code before each call. */
  override async applySecurityAuthentication(context: RequestContext): Promise<void> {
    const options: RequestOptions = {};
    await this.applyToHTTPSOptions(options);
    for (const [name, value] of Object.entries(options.headers ?? {})) {
      if (value !== undefined) context.setHeaderParam(name, String(value));
    }
    if (typeof options.auth === 'string') {
      context.setHeaderParam('Authorization', `Basic ${Buffer.from(options.auth).toString('base64')}`);
    }
    context.setHeaderParam('User-Agent', this.#options.userAgent);
    const { isWatch } = classifyCall(context.getHttpMethod(), context.getUrl());
    const { calls, watches } = this.#getDispatchers(options);
    context.setDispatcher(isWatch ? watches : calls);
  }

  /** The limit that {@link KubeConfigOptions.requestTimeoutMs} set. */
  get requestTimeoutMs(): number {
    return this.#options.requestTimeoutMs;
  }

  /**
   * Resolves when no call is in flight or waits. A call that follows another one at once counts as part of it. Calls end within
   * their timeouts; watches do not count.
   */
  async waitUntilIdle(): Promise<void> {
    do {
      await this.#slots.waitUntilIdle();
      await callersContinue();
    } while (this.calls.inFlight + this.calls.waiting > 0);
  }

  /** Ends all connections, with what is under way on them, and fails the calls that wait. */
  async close(): Promise<void> {
    this.#slots.close();
    await this.#connections.close();
  }

  #getDispatchers(options: RequestOptions) {
    const { ca, cert, key, rejectUnauthorized, servername } = options;
    const tls = { ca, cert, key, rejectUnauthorized, servername };
    return this.#connections.get(tls, this.getCurrentCluster()?.proxyUrl);
  }
}

function loadInto(config: ClusterConfig, kubeconfigPath: string | undefined): void {
  try {
    if (kubeconfigPath === undefined) config.loadFromDefault();
    else config.loadFromFile(kubeconfigPath);
  } catch (error) {
    // The YAML parser's message quotes the lines around the fault, and those hold credentials.
    const code = error instanceof Error && 'code' in error ? ` (${error.code})` : '';
    const file = kubeconfigPath ?? 'the default kubeconfig';
    throw new KubeConfigError(
      'unreadable',
      `cannot read ${file}${code}: it must be a kubeconfig in YAML or JSON`,
    );
  }
}

/**
 * Loads the kubeconfig.
 *
 * @throws {KubeConfigError} `unreadable` for a file that is missing or no kubeconfig, `no-cluster` where nothing
 *   names an API server
 */
export function loadKubeConfig(options: KubeConfigOptions): ClusterConfig {
  const config = new ClusterConfig(options);
  loadInto(config, options.kubeconfigPath);
  const server = config.getCurrentCluster()?.server;
  // client-node falls back to this address, then refuses each request to it.
  if (server === undefined || (options.kubeconfigPath === undefined && server === 'http://localhost:8080')) {
    throw new KubeConfigError(
      'no-cluster',
      options.kubeconfigPath === undefined
        ? 'no API server is named: give a kubeconfig, set KUBECONFIG, or run in a pod with a ServiceAccount token'
        : `${options.kubeconfigPath} names no cluster in its current context`,
    );
  }
  return config;
}

/** What client-node's generated calls of any group need, for the API server that the config names. */
export function createApiConfiguration(config: ClusterConfig): Configuration {
  const baseServer = new ServerConfiguration(config.getCurrentCluster()?.server ?? '', {});
  return createConfiguration({ baseServer, httpApi: config.http, authMethods: { default: config } });
}

/** client-node's calls for the core group. */
export function createCoreApi(config: ClusterConfig): CoreV1Api {
  return new CoreV1Api(createApiConfiguration(config));
}

/** Makes a call. @throws {KubeError} for every failure */
export async function withKubeErrors<T>(operation: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw toKubeError(error, operation);
  }
}

/** Makes a call on one object; undefined where there is no such object. @throws {KubeError} for any other failure */
export async function undefinedIfNotFound<T>(
  operation: string,
  call: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await withKubeErrors(operation, call);
  } catch (error) {
    if (error instanceof KubeError && error.code === 'not-found') return undefined;
    throw error;
  }
}

/** The namespace that we run in: the pod's own, or the one of the kubeconfig's context; undefined where neither says. */
export function getOwnNamespace(config: ClusterConfig): string | undefined {
  const namespace = config.getContextObject(config.getCurrentContext())?.namespace?.trim();
  return namespace === '' ? undefined : namespace;
}
