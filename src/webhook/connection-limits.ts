// Bounds the connections of a server, plain or TLS.
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import { type Connection, connectionToEvict } from './connection-eviction.ts';
import { type HandshakeLimits, HandshakeQueue } from './handshake-queue.ts';

export interface ConnectionLimits {
  readonly maxConnections: number;
  /** Of TLS handshakes; not given: the server speaks no TLS. */
  readonly handshakes?: HandshakeLimits;
  /** A monotonic clock, in ms. */
  now(): number;
  /** A connection was closed to make room. */
  onEvicted(): void;
}

/** Follows one connection from its first packet to its end. */
class Tracked implements Connection {
  readonly address: string;
  /** Address and port of the client. */
  readonly peer: string;
  /** The socket that was accepted, and the TLS socket over it. */
  readonly accepted: Socket;
  #secured: Socket | undefined;
  idleSince: number;
  useful = false;
  /** The request in flight, and its response. */
  exchange: { readonly request: IncomingMessage; readonly response: ServerResponse } | undefined;

  #shaking: boolean;

  constructor(socket: Socket, usesTls: boolean, now: number) {
    this.address = socket.remoteAddress ?? '';
    this.peer = peerOf(socket);
    this.accepted = socket;
    this.#shaking = usesTls;
    this.idleSince = now;
  }

  get phase(): Connection['phase'] {
    if (this.#shaking) {
      return 'handshake';
    }
    if (this.exchange === undefined) {
      return 'idle';
    }
    return this.exchange.request.complete ? 'waiting' : 'receiving';
  }

  secured(socket: Socket): void {
    this.#shaking = false;
    this.#secured = socket;
  }

  destroy(): void {
    this.#secured?.destroy();
    this.accepted.destroy();
  }
}

export interface Connections {
  /** What each request has to pass; false: its connection was closed, because it has one in flight already. */
  mayPass(request: IncomingMessage, response: ServerResponse): boolean;
  /** Closes all connections but those whose request is being answered. */
  closeUnanswered(): void;
}

/**
 * Keeps a server at `maxConnections`: one more evicts another, and never is refused itself. Also lets a connection have
 * one request in flight only, since Go's client never pipelines, and a pipeline would be a queue without a bound.
 */
export function limitConnections(server: HttpServer | HttpsServer, limits: ConnectionLimits): Connections {
  const { maxConnections, now, onEvicted } = limits;
  const handshakes = limits.handshakes && new HandshakeQueue(limits.handshakes);
  const usesTls = handshakes !== undefined;
  const open = new Set<Tracked>();
  /** Those whose handshake is in progress, by `peer`. */
  const shaking = new Map<string, Tracked>();
  /** Number of connections by client address. */
  const held = new Map<string, number>();
  const bySocket = new WeakMap<Socket, Tracked>();

  const forget = (connection: Tracked) => {
    if (!open.delete(connection)) {
      return;
    }
    shaking.delete(connection.peer);
    const left = (held.get(connection.address) ?? 1) - 1;
    if (left === 0) {
      held.delete(connection.address);
    } else {
      held.set(connection.address, left);
    }
  };
  const evictOne = () => {
    const victim = connectionToEvict(open, held);
    if (victim !== undefined) {
      forget(victim);
      victim.destroy();
      onEvicted();
    }
  };
  const takeIn = (socket: Socket) => {
    const connection = new Tracked(socket, usesTls, now());
    socket.on('error', () => undefined); // a reset before the handshake concerns nobody
    socket.once('close', () => forget(connection));
    if (open.size >= maxConnections) {
      evictOne();
    }
    open.add(connection);
    held.set(connection.address, (held.get(connection.address) ?? 0) + 1);
    if (usesTls) {
      shaking.set(connection.peer, connection);
    } else {
      bySocket.set(socket, connection);
    }
  };
  if (handshakes === undefined) {
    server.prependListener('connection', takeIn);
  } else {
    const startTls = heldBack(server);
    server.on('connection', (socket: Socket) => {
      takeIn(socket);
      handshakes.add(socket, () => startTls(socket));
    });
  }
  server.prependListener('secureConnection', (socket: Socket) => {
    const peer = peerOf(socket);
    const connection = shaking.get(peer);
    if (connection !== undefined) {
      shaking.delete(peer);
      handshakes?.done(connection.accepted);
      connection.secured(socket);
      bySocket.set(socket, connection);
    }
  });

  const mayPass: Connections['mayPass'] = (request, response) => {
    const connection = bySocket.get(request.socket);
    // A client may send its next request before this process hears that the last response went out.
    if (connection === undefined || connection.exchange?.response.writableEnded === false) {
      request.socket.destroy();
      return false;
    }
    const exchange = { request, response };
    connection.exchange = exchange;
    response.once('close', () => {
      connection.useful ||= response.statusCode === 200;
      if (connection.exchange === exchange) {
        connection.exchange = undefined;
        connection.idleSince = now();
      }
    });
    return true;
  };
  const closeUnanswered = () => {
    for (const connection of [...open].filter(({ phase }) => phase !== 'waiting')) {
      connection.destroy();
    }
  };
  return { mayPass, closeUnanswered };
}

/** How long what has not been answered may still come in once a server closes, in ms, and how often that is looked at. */
const closing = { graceMs: 2_000, lookMs: 250 };

/** Lets a server that is closing end although clients hold requests back: Node no longer looks at its timeouts then. */
export function closeInTime(server: HttpServer | HttpsServer, { closeUnanswered }: Connections): void {
  const end = setTimeout(() => {
    closeUnanswered();
    const look = setInterval(closeUnanswered, closing.lookMs);
    server.once('close', () => clearInterval(look));
  }, closing.graceMs);
  server.once('close', () => clearTimeout(end));
}

/**
 * Keeps a TLS server from starting handshakes by itself. Accepted sockets are not read until then: TLS over a socket that has
 * been read goes through JavaScript, is slower, and loses what was written last when it is destroyed.
 * @returns starts the handshake on an accepted socket
 */
function heldBack(server: HttpServer | HttpsServer): (socket: Socket) => void {
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

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}
