// Sends one request repeatedly on open TLS connections and measures the latency of each response.
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';

/** The request, its destination and the number of connections. */
interface LoadOptions {
  readonly url: URL;
  readonly caPem: string;
  readonly body: string;
  readonly connections: number;
}

/** Open connections to one server. */
export interface LoadGenerator {
  /**
   * Sends requests for `durationMs`, with one in flight on each connection.
   * @throws if a response has another status than 200
   */
  run(durationMs: number): Promise<LoadResult>;
  close(): void;
}

interface LoadResult {
  readonly requests: number;
  readonly seconds: number;
  /** Latencies of all requests in µs, ascending. */
  readonly latenciesUs: Float64Array;
}

/**
 * Opens TLS connections and keeps them open, as the API server does. It uses raw sockets so that the generator needs
 * little CPU compared with the server.
 */
export async function createLoadGenerator({
  url,
  caPem,
  body,
  connections,
}: LoadOptions): Promise<LoadGenerator> {
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
    run: async (durationMs) => {
      const latencies: number[] = [];
      const started = performance.now();
      const until = started + durationMs;
      const stopPolling = pollContinuously();
      await Promise.all(sockets.map((socket) => sendRepeatedly(socket, request, until, latencies))).finally(
        stopPolling,
      );
      const seconds = (performance.now() - started) / 1000;
      return { requests: latencies.length, seconds, latenciesUs: Float64Array.from(latencies).sort() };
    },
    close: () => {
      for (const socket of sockets) {
        socket.destroy();
      }
    },
  };
}

/**
 * Keeps this process from sleeping while it waits for responses. Waking a sleeping process costs the sender of the
 * response up to a tenth of a whole request in a virtual machine, and more often so the slower the server is, which would
 * distort the comparison.
 * @returns a function that stops it
 */
function pollContinuously(): () => void {
  let next = setImmediate(function again() {
    next = setImmediate(again);
  });
  return () => clearImmediate(next);
}

/** Sends the request on one connection until the time is over, and appends each latency in µs to `latencies`. */
function sendRepeatedly(
  socket: TLSSocket,
  request: Buffer,
  until: number,
  latencies: number[],
): Promise<void> {
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
