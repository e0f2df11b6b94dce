// Loads the kubeconfig and configures client-node: connections, timeouts and slots.
import type { RequestOptions } from 'node:https';
import { setImmediate as yieldToCallers } from 'node:timers/promises';
import { type HttpLibrary, KubeConfig, type RequestContext } from '@kubernetes/client-node';
import { getField } from '../util/json.ts';
import { waitAtMost } from '../util/timeout.ts';
import { createBoundedHttp } from './bounded-http.ts';
import { CallSlots, type CallSlotsState } from './call-slots.ts';
import { classifyCall, defaultWriteTimeoutMs } from './call-timeouts.ts';
import { Connections } from './connection-pool.ts';
import {
  type CredentialSource,
  CredentialsError,
  findCredentialSource,
  toCredentialsError,
} from './kubeconfig-credentials.ts';

/** Options of {@link loadKubeConfig}. */
export interface KubeConfigOptions {
  /** A kubeconfig file. Default: KUBECONFIG, ~/.kube/config or the ServiceAccount of the pod, as client-node finds them. */
  kubeconfigPath?: string | undefined;
  /** The context of the kubeconfig. Default: its current context. */
  context?: string | undefined;
  /** Timeout of a read including its response, in ms. A watch sets its own timeouts. */
  requestTimeoutMs: number;
  /** Timeout of a write including its response, in ms. Default: {@link defaultWriteTimeoutMs}. */
  writeTimeoutMs?: number | undefined;
  /** Called for each call that failed because it got no slot; see {@link slotBounds}. */
  onOverload?: ((state: CallSlotsState) => void) | undefined;
  /** Sent as `User-Agent`; visible in the API server's audit log and metrics. */
  userAgent: string;
}

/** The kubeconfig cannot be used: it is missing, invalid or names no cluster. */
export class KubeConfigError extends Error {
  override readonly name = 'KubeConfigError';
  readonly code: 'no-cluster' | 'no-context' | 'invalid-kubeconfig';

  constructor(code: KubeConfigError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Limits for calls in flight. A burst of pods in many namespaces is a burst of writes. The total is below the approximately 98
 * requests that an API server with default settings executes concurrently on the priority level `workload-high`
 * (https://kubernetes.io/docs/concepts/cluster-administration/flow-control/), which other clients share.
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
 * client-node's KubeConfig with bounds for calls and with persistent connections. (client-node 2.0.1 creates an undici Agent,
 * and so a TLS handshake, for each request, and its calls ignore a `signal` in their options.)
 */
export class ClusterConfig extends KubeConfig {
  readonly #options: KubeConfigOptions;
  readonly #connections: Connections;
  readonly #slots: CallSlots;
  /** The call of the source of credentials that is in flight. */
  #credentials: Promise<RequestOptions> | undefined;
  /** The HTTP library for the requests of this config. */
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

  /** The numbers of calls in flight and waiting. */
  get calls(): CallSlotsState {
    return this.#slots.state;
  }

  /** Sets headers and connections. Called before each request. */
  override async applySecurityAuthentication(context: RequestContext): Promise<void> {
    const source = findCredentialSource(this.getCurrentUser());
    const options =
      source === undefined
        ? await this.#readCredentials()
        : await this.#waitForCredentials(source, context.getSignal());
    for (const [name, value] of Object.entries(options.headers ?? {})) {
      if (value !== undefined) {
        context.setHeaderParam(name, String(value));
      }
    }
    if (typeof options.auth === 'string') {
      context.setHeaderParam('Authorization', `Basic ${Buffer.from(options.auth).toString('base64')}`);
    }
    context.setHeaderParam('User-Agent', this.#options.userAgent);
    const { isWatch } = classifyCall(context.getHttpMethod(), context.getUrl());
    const { calls, watches } = this.#getDispatchers(options);
    context.setDispatcher(isWatch ? watches : calls);
  }

  /** @throws {CredentialsError} */
  async #readCredentials(source?: CredentialSource): Promise<RequestOptions> {
    const options: RequestOptions = {};
    try {
      await this.applyToHTTPSOptions(options);
    } catch (error) {
      throw toCredentialsError(error, source);
    }
    return options;
  }

  /**
   * Calls a source once at a time. A program may wait for input that never comes, and one for each call would be too many.
   * @throws {CredentialsError}
   */
  async #waitForCredentials(
    source: CredentialSource,
    signal: AbortSignal | undefined,
  ): Promise<RequestOptions> {
    signal?.throwIfAborted();
    this.#credentials ??= this.#readCredentials(source).finally(() => {
      this.#credentials = undefined;
    });
    const { requestTimeoutMs } = this.#options;
    const fail = () => {
      const problem = `did not end within ${requestTimeoutMs / 1000} s`;
      throw new CredentialsError(`${source.name} ${problem}`, source.advice);
    };
    return await waitAtMost(requestTimeoutMs, this.#credentials, fail, { signal });
  }

  /** {@link KubeConfigOptions.requestTimeoutMs}. */
  get requestTimeoutMs(): number {
    return this.#options.requestTimeoutMs;
  }

  /**
   * Resolves when no call is in flight or waiting. A call that directly follows another one counts as part of it. Calls end
   * within their timeouts; watches do not count.
   */
  async waitUntilIdle(): Promise<void> {
    do {
      await this.#slots.waitUntilIdle();
      await yieldToCallers();
    } while (this.calls.inFlight + this.calls.waiting > 0);
  }

  /** Closes all connections, including those with calls in flight, and rejects the waiting calls. */
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

/** The message of the YAML parser is not repeated, because it quotes lines of the file, which may contain credentials. */
function describeUnreadable(error: unknown, kubeconfigPath: string | undefined): string {
  const failedPath = getField(error, 'path');
  const path = kubeconfigPath ?? (typeof failedPath === 'string' ? failedPath : undefined);
  const setBy = kubeconfigPath === undefined ? 'KUBECONFIG' : 'kubernetes.kubeconfig';
  const code = getField(error, 'code');
  if (path !== undefined && code === 'ENOENT') {
    return `kubeconfig ${path} does not exist; check ${setBy}`;
  }
  const file =
    path === undefined ? 'the kubeconfig that KUBECONFIG names, or ~/.kube/config' : `kubeconfig ${path}`;
  return `cannot read ${file}${code === undefined ? '' : ` (${code})`}: it must be a file in YAML or JSON`;
}

function loadInto(config: ClusterConfig, kubeconfigPath: string | undefined): void {
  try {
    if (kubeconfigPath === undefined) {
      config.loadFromDefault();
    } else {
      config.loadFromFile(kubeconfigPath);
    }
  } catch (error) {
    throw new KubeConfigError('invalid-kubeconfig', describeUnreadable(error, kubeconfigPath));
  }
}

function selectContext(config: ClusterConfig, { context, kubeconfigPath }: KubeConfigOptions): void {
  if (context === undefined) {
    return;
  }
  if (config.getContextObject(context) === null) {
    const file = kubeconfigPath === undefined ? 'the default kubeconfig' : `kubeconfig ${kubeconfigPath}`;
    throw new KubeConfigError('no-context', `${file} has no context ${context}`);
  }
  config.setCurrentContext(context);
}

/**
 * Loads the kubeconfig.
 * @throws {KubeConfigError} with code `invalid-kubeconfig` if the file is missing or not a kubeconfig, `no-context` if it does
 *   not have the context, `no-cluster` if no API server is configured
 */
export function loadKubeConfig(options: KubeConfigOptions): ClusterConfig {
  const config = new ClusterConfig(options);
  loadInto(config, options.kubeconfigPath);
  selectContext(config, options);
  const server = config.getCurrentCluster()?.server;
  // client-node falls back to this address and then rejects each request to it.
  if (server === undefined || (options.kubeconfigPath === undefined && server === 'http://localhost:8080')) {
    throw new KubeConfigError(
      'no-cluster',
      options.kubeconfigPath === undefined
        ? 'no API server is configured: set kubernetes.kubeconfig or KUBECONFIG, or run in a pod with a ServiceAccount token'
        : `kubeconfig ${options.kubeconfigPath} names no cluster in its current context; set current-context`,
    );
  }
  return config;
}

/** Returns the namespace of the pod or of the kubeconfig's context; undefined if neither is known. */
export function getOwnNamespace(config: ClusterConfig): string | undefined {
  const namespace = config.getContextObject(config.getCurrentContext())?.namespace?.trim();
  return namespace === '' ? undefined : namespace;
}
