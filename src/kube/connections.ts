import type { ConnectionOptions } from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { Agent, type Dispatcher, ProxyAgent } from 'undici';

/** The part of TLS that a kubeconfig decides. */
export type TlsOptions = Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'rejectUnauthorized' | 'servername'>;

// Below the 90 s after which the API server ends an idle connection (staging/src/k8s.io/apiserver/pkg/server/
// secure_serving.go), so that a request never meets a connection that is just being closed.
const KEEP_ALIVE_MS = 30_000;

// A burst of pods in as many namespaces is a burst of writes: this many at once, the others wait their turn.
const MAX_CONNECTIONS = 16;

/**
 * The connections to one API server: made once, replaced when the files behind the kubeconfig (CA, client
 * certificate) change.
 *
 * HTTP/1.1 on purpose. Over HTTP/2 all calls and the watch share one connection, and giving up a call that got
 * no answer leaves that connection in use: when the far end has vanished without a word, every later call hangs
 * too. With HTTP/1.1 a call that is given up takes its connection with it.
 */
export class Connections {
  readonly #connectTimeoutMs: number;
  #current: { tls: TlsOptions; proxyUrl: string | undefined; dispatcher: Dispatcher } | undefined;

  constructor(connectTimeoutMs: number) {
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  /** The dispatcher for these settings: the last one, unless they changed. */
  get(tls: TlsOptions, proxyUrl: string | undefined): Dispatcher {
    const last = this.#current;
    if (last !== undefined && last.proxyUrl === proxyUrl && isDeepStrictEqual(last.tls, tls))
      return last.dispatcher;
    const dispatcher = this.#make(tls, proxyUrl);
    this.#current = { tls, proxyUrl, dispatcher };
    // What is under way on the old connections ends in its own time.
    last?.dispatcher.close().catch(() => undefined);
    return dispatcher;
  }

  /** Ends all connections, with what is under way on them. */
  async close(): Promise<void> {
    const last = this.#current;
    this.#current = undefined;
    await last?.dispatcher.destroy();
  }

  #make(tls: TlsOptions, proxyUrl: string | undefined): Dispatcher {
    const given = Object.fromEntries(Object.entries(tls).filter(([, value]) => value !== undefined));
    const connect = {
      ...given,
      timeout: this.#connectTimeoutMs,
      keepAlive: true,
      keepAliveInitialDelay: 30_000,
    };
    const pool = { allowH2: false, connections: MAX_CONNECTIONS, keepAliveTimeout: KEEP_ALIVE_MS };
    if (proxyUrl === undefined) return new Agent({ ...pool, connect });
    return new ProxyAgent({
      ...pool,
      uri: proxyUrl,
      requestTls: given,
      connect: { timeout: this.#connectTimeoutMs },
    });
  }
}
