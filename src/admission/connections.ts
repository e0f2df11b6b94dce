// Bounds the connections of a server, plain or TLS.
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { Socket } from 'node:net';
import { type Connection, connectionToEvict } from './eviction.ts';

export interface ConnectionLimits {
  readonly maxConnections: number;
  /** TLS handshakes in progress; none: the server speaks no TLS. */
  readonly maxHandshakes?: number;
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
  readonly #sockets: Socket[];
  idleSince: number;
  useful = false;
  /** The request in flight, and its response. */
  exchange: { readonly request: IncomingMessage; readonly response: ServerResponse } | undefined;

  #shaking: boolean;

  constructor(socket: Socket, usesTls: boolean, now: number) {
    this.address = socket.remoteAddress ?? '';
    this.peer = peerOf(socket);
    this.#sockets = [socket];
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

  /** The TLS socket over the one that was accepted. */
  secured(socket: Socket): void {
    this.#shaking = false;
    this.#sockets.unshift(socket);
  }

  destroy(): void {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
  }
}

/** Passes a request on, if its connection may have one in flight. */
export type Gate = (request: IncomingMessage, response: ServerResponse) => boolean;

/**
 * Keeps a server at `maxConnections`: one more evicts another, and never is refused itself. Also lets a connection have
 * one request in flight only, since Go's client never pipelines, and a pipeline would be a queue without a bound.
 * @returns what each request has to pass; false: its connection was closed
 */
export function limitConnections(server: HttpServer | HttpsServer, limits: ConnectionLimits): Gate {
  const { maxConnections, maxHandshakes, now, onEvicted } = limits;
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
  const evictOneOf = (connections: Iterable<Tracked>) => {
    const victim = connectionToEvict(connections, held);
    if (victim !== undefined) {
      forget(victim);
      victim.destroy();
      onEvicted();
    }
  };
  server.prependListener('connection', (socket: Socket) => {
    const connection = new Tracked(socket, maxHandshakes !== undefined, now());
    socket.once('close', () => forget(connection));
    if (maxHandshakes !== undefined && shaking.size >= maxHandshakes) {
      evictOneOf(shaking.values());
    }
    if (open.size >= maxConnections) {
      evictOneOf(open);
    }
    open.add(connection);
    held.set(connection.address, (held.get(connection.address) ?? 0) + 1);
    if (maxHandshakes === undefined) {
      bySocket.set(socket, connection);
    } else {
      shaking.set(connection.peer, connection);
    }
  });
  server.prependListener('secureConnection', (socket: Socket) => {
    const peer = peerOf(socket);
    const connection = shaking.get(peer);
    if (connection !== undefined) {
      shaking.delete(peer);
      connection.secured(socket);
      bySocket.set(socket, connection);
    }
  });

  return (request, response) => {
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
}

function peerOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}
