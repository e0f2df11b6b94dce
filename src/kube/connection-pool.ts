// The connections to one API server: separate pools for calls and watches, replaced when the TLS settings change.
import type { ConnectionOptions } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { Agent, type Dispatcher, ProxyAgent } from 'undici';

/** The TLS options that a kubeconfig sets. */
export type TlsOptions = Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized' | 'servername'>;

// Less than the 90 s after which the API server closes an idle connection (staging/src/k8s.io/apiserver/pkg/server/
// secure_serving.go), so that no request is sent on a connection that is just being closed.
const keepAliveMs = 30_000;

/** Options of {@link Connections}. */
export interface ConnectionsOptions {
  /** Connect timeout, in ms. */
  readonly connectTimeoutMs: number;
  /** Maximum number of calls in flight. */
  readonly maxCalls: number;
  /** Maximum time between {@link Connections.get} and the start of a call, in ms. */
  readonly maxWaitMs: number;
}

/** The connections to one API server by use. */
interface Dispatchers {
  /** Has as many connections as there may be calls in flight, so that no call waits for a connection. */
  readonly calls: Dispatcher;
  /** One connection for each watch. */
  readonly watches: Dispatcher;
}

/**
 * The connections to one API server. They are created once and replaced when the files of the kubeconfig (CA, client
 * certificate) change. Calls and watches have separate connections and wait for none, so watches never delay a call.
 *
 * HTTP/1.1 is used on purpose. Over HTTP/2, all calls and watches share one connection, and aborting a call keeps that
 * connection in use. If the peer has disappeared silently, every later call hangs too. Over HTTP/1.1, aborting a call closes
 * its connection.
 */
export class Connections {
  readonly #options: ConnectionsOptions;
  /** Replaced dispatchers that waiting calls may still use. */
  readonly #retired = new Set<Dispatcher>();
  #current: { tls: TlsOptions; proxyUrl: string | undefined; dispatchers: Dispatchers } | undefined;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Returns the dispatchers for these settings: the current ones, unless the settings have changed. */
  get(tls: TlsOptions, proxyUrl: string | undefined): Dispatchers {
    const last = this.#current;
    if (last !== undefined && last.proxyUrl === proxyUrl && isDeepStrictEqual(last.tls, tls)) {
      return last.dispatchers;
    }
    const dispatchers = {
      calls: this.#createDispatcher(tls, proxyUrl, { connections: this.#options.maxCalls }),
      watches: this.#createDispatcher(tls, proxyUrl, {}),
    };
    this.#current = { tls, proxyUrl, dispatchers };
    for (const dispatcher of listDispatchers(last)) {
      this.#retire(dispatcher);
    }
    return dispatchers;
  }

  /** Closes a dispatcher when no call can start on it any more. Calls in flight are completed. */
  #retire(dispatcher: Dispatcher): void {
    this.#retired.add(dispatcher);
    setTimeout(() => {
      this.#retired.delete(dispatcher);
      dispatcher.close().catch(() => undefined);
    }, this.#options.maxWaitMs).unref();
  }

  /** Closes all connections, including those with calls in flight. */
  async close(): Promise<void> {
    const all = [...listDispatchers(this.#current), ...this.#retired];
    this.#current = undefined;
    await Promise.all(all.map((dispatcher) => dispatcher.destroy()));
  }

  #createDispatcher(
    tls: TlsOptions,
    proxyUrl: string | undefined,
    bound: { connections?: number },
  ): Dispatcher {
    const definedTls = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined));
    const pool = { ...bound, allowH2: false, keepAliveTimeout: keepAliveMs };
    const timeout = this.#options.connectTimeoutMs;
    if (proxyUrl === undefined) {
      const connect = { ...definedTls, timeout, keepAlive: true, keepAliveInitialDelay: 30_000 };
      return new Agent({ ...pool, connect });
    }
    return new ProxyAgent({
      ...pool,
      uri: proxyUrl,
      requestTls: definedTls,
      // ProxyAgent ignores a timeout in `connect`.
      connectTimeout: timeout,
    });
  }
}

function listDispatchers(current: { dispatchers: Dispatchers } | undefined): Dispatcher[] {
  return current === undefined ? [] : [current.dispatchers.calls, current.dispatchers.watches];
}
