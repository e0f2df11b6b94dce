// Limits the connections of a server, with or without TLS.
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import { type Connection, selectConnectionToEvict } from './connection-eviction.ts';
import { type HandshakeLimits, HandshakeQueue } from './handshake-queue.ts';

export interface ConnectionLimits {
  readonly maxConnections: number;
  /** Limits of TLS handshakes; undefined for a server without TLS. */
  readonly handshakes?: HandshakeLimits;
  /** Monotonic clock, in ms. */
  monotonicNow(): number;
  /** Called when a connection was closed to make room. */
  onEvicted(): void;
}

/** A connection from its acceptance to its end. */
class TrackedConnection implements Connection {
  readonly address: string;
  /** Address and port of the client. */
  readonly peer: string;
  /** The accepted socket; TLS, if any, runs over it. */
  readonly acceptedSocket: Socket;
  #tlsSocket: Socket | undefined;
  idleSince: number;
  hasServed = false;
  /** The request in flight and its response. */
  exchange: { readonly request: IncomingMessage; readonly response: ServerResponse } | undefined;

  #isHandshaking: boolean;

  constructor(socket: Socket, usesTls: boolean, now: number) {
    this.address = socket.remoteAddress ?? '';
    this.peer = formatPeer(socket);
    this.acceptedSocket = socket;
    this.#isHandshaking = usesTls;
    this.idleSince = now;
  }

  get phase(): Connection['phase'] {
    if (this.#isHandshaking) {
      return 'handshake';
    }
    if (this.exchange === undefined) {
      return 'idle';
    }
    return this.exchange.request.complete ? 'waiting' : 'receiving';
  }

  completeHandshake(socket: Socket): void {
    this.#isHandshaking = false;
    this.#tlsSocket = socket;
  }

  destroy(): void {
    this.#tlsSocket?.destroy();
    this.acceptedSocket.destroy();
  }
}

export interface Connections {
  /**
   * Must be called for each request.
   * @returns false if the connection already had a request in flight; it has been closed then
   */
  acceptRequest(request: IncomingMessage, response: ServerResponse): boolean;
  /** Closes all connections except those whose request is being handled. */
  closeInactive(): void;
}

/**
 * Limits a server to `maxConnections`. A new connection is never refused; it evicts another one. Each connection may have only
 * one request in flight, because Go's client never pipelines and a pipeline would be an unbounded queue.
 */
export function limitConnections(server: HttpServer | HttpsServer, limits: ConnectionLimits): Connections {
  const { maxConnections, monotonicNow, onEvicted } = limits;
  const handshakes = limits.handshakes && new HandshakeQueue(limits.handshakes);
  const usesTls = handshakes !== undefined;
  const open = new Set<TrackedConnection>();
  /** Connections whose handshake is in progress, by `peer`. */
  const handshaking = new Map<string, TrackedConnection>();
  /** Number of connections by client address. */
  const countByAddress = new Map<string, number>();
  const bySocket = new WeakMap<Socket, TrackedConnection>();

  const remove = (connection: TrackedConnection) => {
    if (!open.delete(connection)) {
      return;
    }
    handshaking.delete(connection.peer);
    const remaining = (countByAddress.get(connection.address) ?? 1) - 1;
    if (remaining === 0) {
      countByAddress.delete(connection.address);
    } else {
      countByAddress.set(connection.address, remaining);
    }
  };
  const evictOne = () => {
    const victim = selectConnectionToEvict(open, countByAddress);
    if (victim !== undefined) {
      remove(victim);
      victim.destroy();
      onEvicted();
    }
  };
  const accept = (socket: Socket) => {
    const connection = new TrackedConnection(socket, usesTls, monotonicNow());
    socket.on('error', () => undefined); // a reset before the handshake can be ignored
    socket.once('close', () => remove(connection));
    if (open.size >= maxConnections) {
      evictOne();
    }
    open.add(connection);
    countByAddress.set(connection.address, (countByAddress.get(connection.address) ?? 0) + 1);
    if (usesTls) {
      handshaking.set(connection.peer, connection);
    } else {
      bySocket.set(socket, connection);
    }
  };
  if (handshakes === undefined) {
    server.prependListener('connection', accept);
  } else {
    const startTls = deferHandshakes(server);
    server.on('connection', (socket: Socket) => {
      accept(socket);
      handshakes.add(socket, () => startTls(socket));
    });
  }
  server.prependListener('secureConnection', (socket: Socket) => {
    const peer = formatPeer(socket);
    const connection = handshaking.get(peer);
    if (connection !== undefined) {
      handshaking.delete(peer);
      handshakes?.done(connection.acceptedSocket);
      connection.completeHandshake(socket);
      bySocket.set(socket, connection);
    }
  });

  const acceptRequest: Connections['acceptRequest'] = (request, response) => {
    const connection = bySocket.get(request.socket);
    // A client may send its next request before this process is notified that the last response was sent.
    if (connection === undefined || connection.exchange?.response.writableEnded === false) {
      request.socket.destroy();
      return false;
    }
    const exchange = { request, response };
    connection.exchange = exchange;
    response.once('close', () => {
      connection.hasServed ||= response.statusCode === 200;
      if (connection.exchange === exchange) {
        connection.exchange = undefined;
        connection.idleSince = monotonicNow();
      }
    });
    return true;
  };
  const closeInactive = () => {
    for (const connection of [...open].filter(({ phase }) => phase !== 'waiting')) {
      connection.destroy();
    }
  };
  return { acceptRequest, closeInactive };
}

/** How long requests may still arrive once a server closes, and how often inactive connections are closed after that. */
const closeTimeouts = { graceMs: 2_000, checkIntervalMs: 250 };

/** Lets a closing server end although clients keep requests incomplete. Node does not enforce its timeouts at that point. */
export function enforceCloseTimeout(server: HttpServer | HttpsServer, { closeInactive }: Connections): void {
  const timer = setTimeout(() => {
    closeInactive();
    const interval = setInterval(closeInactive, closeTimeouts.checkIntervalMs);
    server.once('close', () => clearInterval(interval));
  }, closeTimeouts.graceMs);
  server.once('close', () => clearTimeout(timer));
}

/**
 * Keeps a TLS server from starting handshakes at once. Accepted sockets are paused until then, because TLS over a socket that
 * has been read runs through JavaScript, is slower, and loses the last write when it is destroyed.
 * @returns a function that starts the handshake on an accepted socket
 */
function deferHandshakes(server: HttpServer | HttpsServer): (socket: Socket) => void {
  // net.Server reads this property for each accepted socket, and tls.Server for each handshake, which must not be paused.
  const pausing = server as HttpServer & { pauseOnConnect?: boolean };
  const starters = server.listeners('connection');
  server.removeAllListeners('connection');
  pausing.pauseOnConnect = true;
  return (socket) => {
    pausing.pauseOnConnect = false;
    for (const start of starters) {
      start.call(server, socket);
    }
    pausing.pauseOnConnect = true;
  };
}

function formatPeer({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}
