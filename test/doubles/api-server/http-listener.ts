// A loopback HTTP server for test doubles that can stop and listen again on the same port.
import { createServer, type RequestListener, type Server } from 'node:http';
import type { Socket } from 'node:net';

/** A loopback HTTP server that can be closed and opened again on its port. */
export class Listener {
  readonly #server: Server = createServer();
  readonly #sockets = new Set<Socket>();
  #port = 0;
  /** Number of connections so far. */
  connections = 0;

  constructor() {
    this.#server.on('connection', (socket: Socket) => {
      this.connections += 1;
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  /** Starts a listener on a free port. */
  static async start(): Promise<Listener> {
    const listener = new Listener();
    await listener.open();
    return listener;
  }

  /** The URL that it listens on. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get isListening(): boolean {
    return this.#server.listening;
  }

  /** Sets the function that handles all requests. */
  setHandler(handler: RequestListener): void {
    this.#server.on('request', handler);
  }

  /** Listens on the previous port, or on a free port the first time. */
  async open(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', reject);
    this.#server.listen(this.#port, '127.0.0.1', resolve);
    await promise;
    this.#server.off('error', reject);
    const address = this.#server.address();
    if (typeof address === 'object' && address !== null) {
      this.#port = address.port;
    }
  }

  /** Resets all connections. */
  resetAll(): void {
    for (const socket of this.#sockets) {
      socket.resetAndDestroy();
    }
  }

  /** Resets all connections and refuses new ones. */
  async close(): Promise<void> {
    if (!this.#server.listening) {
      return;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    this.resetAll();
    await promise;
  }
}
