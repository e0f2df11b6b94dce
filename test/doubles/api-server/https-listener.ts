// The HTTPS listener of the API stand-in.
import { createServer, type RequestListener, type Server } from 'node:http';
import type { Socket } from 'node:net';

/** A loopback HTTP server that can go away and come back on its port. */
export class Listener {
  readonly #server: Server = createServer();
  readonly #sockets = new Set<Socket>();
  #port = 0;
  /** How many connections there have been. */
  connections = 0;

  constructor() {
    this.#server.on('connection', (socket: Socket) => {
      this.connections += 1;
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  /** A new one, on a free port. */
  static async start(): Promise<Listener> {
    const listener = new Listener();
    await listener.open();
    return listener;
  }

  /** Where it listens. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get listening(): boolean {
    return this.#server.listening;
  }

  /** Takes requests. */
  setHandler(answer: RequestListener): void {
    this.#server.on('request', answer);
  }

  /** Listens, on the port that it had if it had one. */
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
