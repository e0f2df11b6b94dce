import type { ConnectionOptions } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { Agent, type Dispatcher, ProxyAgent } from 'undici';

/** The part of TLS that a kubeconfig decides. */
export type TlsOptions = Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized' | 'servername'>;

// Below the 90 s after which the API server ends an idle connection (staging/src/k8s.io/apiserver/pkg/server/
// secure_serving.go), so that a request never meets a connection that is just being closed.
const keepAliveMs = 30_000;

export interface ConnectionsOptions {
  /** Time to connect, in ms. */
  readonly connectTimeoutMs: number;
  /** Calls in flight at a time. */
  readonly maxCalls: number;
  /** How long a call may wait between {@link Connections.get} and its start, in ms. */
  readonly maxWaitMs: number;
}

/** The connections of one API server, by what uses them. */
interface Dispatchers {
  /** At most as many connections as calls may be in flight, so that none of these waits here. */
  readonly calls: Dispatcher;
  /** One connection for each watch. */
  readonly watches: Dispatcher;
}

/**
 * The connections to one API server: made once, replaced when the files behind the kubeconfig (CA, client
 * certificate) change. Calls and watches have separate connections and neither waits for one here, so that no number of
 * watches delays a call.
 *
 * HTTP/1.1 on purpose. Over HTTP/2 all calls and the watch share one connection, and giving up a call that got
 * no answer leaves that connection in use: when the far end has vanished without a word, every later call hangs
 * too. With HTTP/1.1 a call that is given up takes its connection with it.
 */
export class Connections {
  readonly #options: ConnectionsOptions;
  /** Replaced dispatchers that calls which wait may still use. */
  readonly #retired = new Set<Dispatcher>();
  #current: { tls: TlsOptions; proxyUrl: string | undefined; dispatchers: Dispatchers } | undefined;

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** The dispatchers for these settings: the last ones, unless they changed. */
  get(tls: TlsOptions, proxyUrl: string | undefined): Dispatchers {
    const last = this.#current;
    if (last !== undefined && last.proxyUrl === proxyUrl && isDeepStrictEqual(last.tls, tls))
      return last.dispatchers;
    const dispatchers = {
      calls: this.#createDispatcher(tls, proxyUrl, { connections: this.#options.maxCalls }),
      watches: this.#createDispatcher(tls, proxyUrl, {}),
    };
    this.#current = { tls, proxyUrl, dispatchers };
    for (const dispatcher of listDispatchers(last)) this.#retire(dispatcher);
    return dispatchers;
  }

  /** Closes a dispatcher when no call can start on it any more. What is in flight ends in its own time. */
  #retire(dispatcher: Dispatcher): void {
    this.#retired.add(dispatcher);
    setTimeout(() => {
      this.#retired.delete(dispatcher);
      dispatcher.close().catch(() => undefined);
    }, this.#options.maxWaitMs).unref();
  }

  /** Ends all connections, with what is under way on them. */
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
