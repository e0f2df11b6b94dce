import type { RequestOptions } from 'node:https';
import { KubeConfig, type RequestContext } from '@kubernetes/client-node';
import type { Dispatcher } from 'undici';
import { Connections } from './connections.ts';

/** How to reach the API server. */
export interface KubeConfigOptions {
  /** A kubeconfig file; without it client-node's own search: KUBECONFIG, ~/.kube/config, the ServiceAccount of the pod. */
  kubeconfigPath?: string | undefined;
  /** Milliseconds that a call may take, answer included. A watch sets a limit of its own. */
  requestTimeoutMs: number;
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
 * client-node's KubeConfig with what it lacks: a time limit for every call, and connections that are kept.
 * (client-node 2.0.1 makes a new undici Agent for each request, so each one is a new TLS handshake; and its
 * calls ignore a `signal` among their options.)
 */
export class ClusterConfig extends KubeConfig {
  readonly #options: KubeConfigOptions;
  readonly #connections: Connections;

  constructor(options: KubeConfigOptions) {
    super();
    this.#options = options;
    this.#connections = new Connections(options.requestTimeoutMs);
  }

  /** Called by client-node's generated code before each call. A signal that is set already stays. */
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
    context.setDispatcher(this.#dispatcher(options));
    if (context.getSignal() === undefined) {
      context.setSignal(AbortSignal.timeout(this.#options.requestTimeoutMs));
    }
  }

  /** The limit that {@link KubeConfigOptions.requestTimeoutMs} set. */
  get requestTimeoutMs(): number {
    return this.#options.requestTimeoutMs;
  }

  /** Ends all connections, with what is under way on them. */
  async close(): Promise<void> {
    await this.#connections.close();
  }

  #dispatcher(options: RequestOptions): Dispatcher {
    const { ca, cert, key, rejectUnauthorized, servername } = options;
    const tls = { ca, cert, key, rejectUnauthorized, servername };
    return this.#connections.get(tls, this.getCurrentCluster()?.proxyUrl);
  }
}

function load(config: ClusterConfig, kubeconfigPath: string | undefined): void {
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
  load(config, options.kubeconfigPath);
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
