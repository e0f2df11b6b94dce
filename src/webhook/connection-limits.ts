// Bounds the connections of a server, plain or TLS.
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import { type Connection, selectConnectionToEvict } from './connection-eviction.ts';
import { type HandshakeLimits, HandshakeQueue } from './handshake-queue.ts';

export interface ConnectionLimits {
  readonly maxConnections: number;
  /** Of TLS handshakes; not given: the server speaks no TLS. */
  readonly handshakes?: HandshakeLimits;
  /** A monotonic clock, in ms. */
  monotonicNow(): number;
  /** A connection was closed to make room. */
  onEvicted(): void;
}

/** Follows one connection from its first packet to its end. */
class TrackedConnection implements Connection {
  readonly address: string;
  /** Address and port of the client. */
  readonly peer: string;
  /** The socket that was accepted, and the TLS socket over it. */
  readonly acceptedSocket: Socket;
  #tlsSocket: Socket | undefined;
  idleSince: number;
  hasServed = false;
  /** The request in flight, and its response. */
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
  /** What each request has to pass; false: its connection was closed, because it has one in flight already. */
  acceptRequest(request: IncomingMessage, response: ServerResponse): boolean;
  /** Closes all connections but those whose request is being answered. */
  closeInactive(): void;
}

/**
 * Keeps a server at `maxConnections`: one more evicts another, and never is refused itself. Also lets a connection have
 * one request in flight only, since Go's client never pipelines, and a pipeline would be a queue without a bound.
 */
export function limitConnections(server: HttpServer | HttpsServer, limits: ConnectionLimits): Connections {
  const { maxConnections, monotonicNow, onEvicted } = limits;
  const handshakes = limits.handshakes && new HandshakeQueue(limits.handshakes);
  const usesTls = handshakes !== undefined;
  const open = new Set<TrackedConnection>();
  /** Those whose handshake is in progress, by `peer`. */
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
    socket.on('error', () => undefined); // a reset before the handshake concerns nobody
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
    // A client may send its next request before this process hears that the last response went out.
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

/** How long what has not been answered may still come in once a server closes, in ms, and how often that is looked at. */
const closeTimeouts = { graceMs: 2_000, checkMs: 250 };

/** Lets a server that is closing end although clients hold requests back: Node no longer looks at its timeouts then. */
export function enforceCloseTimeout(server: HttpServer | HttpsServer, { closeInactive }: Connections): void {
  const timer = setTimeout(() => {
    closeInactive();
    const interval = setInterval(closeInactive, closeTimeouts.checkMs);
    server.once('close', () => clearInterval(interval));
  }, closeTimeouts.graceMs);
  server.once('close', () => clearTimeout(timer));
}

/**
 * Keeps a TLS server from starting handshakes by itself. Accepted sockets are not read until then: TLS over a socket that has
 * been read goes through JavaScript, is slower, and loses what was written last when it is destroyed.
 * @returns starts the handshake on an accepted socket
 */
function deferHandshakes(server: HttpServer | HttpsServer): (socket: Socket) => void {
  // net.Server looks at it for each socket that it accepts, and tls.Server for each handshake, which is to be read
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
