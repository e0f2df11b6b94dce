import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';

/** What to send, where, and how. */
interface Load {
  readonly url: URL;
  readonly caPem: string;
  readonly body: string;
  readonly connections: number;
}

/** Kept connections to one server. */
export interface Callers {
  /** Sends the request again and again for so many ms, one in flight on each connection. Throws on any answer but 200. */
  call(durationMs: number): Promise<LoadResult>;
  end(): void;
}

interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  /** Of each request, in µs, sorted. */
  readonly latenciesUs: Float64Array;
}

/**
 * Opens TLS connections that send the same request, as the API server does. Raw sockets, so that the generator costs
 * little beside the server.
 */
export async function callers({ url, caPem, body, connections }: Load): Promise<Callers> {
  const request = Buffer.from(
    `POST ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  const sockets = await Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = connect({
        host: url.hostname,
        port: Number(url.port),
        ca: caPem,
        servername: 'localhost',
      });
      await once(socket, 'secureConnect');
      return socket.setNoDelay(true);
    }),
  );
  return {
    call: async (durationMs) => {
      const latencies: number[] = [];
      const started = performance.now();
      const until = started + durationMs;
      const awake = stayAwake();
      await Promise.all(sockets.map((socket) => converse(socket, request, until, latencies))).finally(
        awake.end,
      );
      const seconds = (performance.now() - started) / 1000;
      return { requests: latencies.length, seconds, latenciesUs: Float64Array.from(latencies).sort() };
    },
    end: () => {
      for (const socket of sockets) {
        socket.destroy();
      }
    },
  };
}

/**
 * Keeps this process from sleeping while it waits for answers. Who sends to a process that sleeps pays for waking it, in
 * a virtual machine a tenth of a whole request: and the slower a server is, the more often it would have to.
 */
function stayAwake(): { end(): void } {
  let next = setImmediate(function again() {
    next = setImmediate(again);
  });
  return { end: () => clearImmediate(next) };
}

function converse(socket: TLSSocket, request: Buffer, until: number, latencies: number[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let received = '';
  let sent = 0;
  const next = () => {
    sent = performance.now();
    if (sent >= until) {
      resolve();
    } else {
      socket.write(request);
    }
  };
  const onClose = () => reject(new Error('the connection was closed'));
  const onData = (chunk: Buffer) => {
    received += chunk.toString('latin1');
    const head = received.indexOf('\r\n\r\n');
    const length = Number(/content-length: (\d+)/i.exec(received)?.[1]);
    if (head < 0 || received.length < head + 4 + length) {
      return;
    }
    if (!received.startsWith('HTTP/1.1 200')) {
      reject(new Error(received.slice(0, 300)));
      return;
    }
    latencies.push((performance.now() - sent) * 1000);
    received = '';
    next();
  };
  socket.on('error', reject).on('close', onClose).on('data', onData);
  next();
  return promise.finally(() => socket.off('error', reject).off('close', onClose).off('data', onData));
}
