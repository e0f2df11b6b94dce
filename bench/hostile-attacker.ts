// A worker thread that attacks the webhook's port, so that the attack does not delay the thread that measures its effect.
import { once } from 'node:events';
import { request as httpsRequest } from 'node:https';
import { connect, type TLSSocket } from 'node:tls';
import { parentPort, workerData } from 'node:worker_threads';
import { buildPodReview } from '../test/webhook/admission-reviews.ts';

/** The attack, which goes on until the thread is terminated. Sizes in bytes are those of whole bodies. */
export type Order =
  /** POSTs bodies repeatedly, with `concurrency` in flight. */
  | {
      readonly kind: 'bodies';
      readonly body: 'empty-objects' | 'many-values' | 'large-value' | 'long-name';
      readonly bytes: number;
      readonly concurrency: number;
      /** Pause of a sender after each response, in ms. */
      readonly pauseMs: number;
      /** Number of bodies; unlimited if not set. */
      readonly count?: number;
    }
  /** Opens TLS connections that send nothing. */
  | { readonly kind: 'idle'; readonly connections: number }
  /** Sends requests that declare `declaredBytes`, send `sentBytes` at once, and then one byte per second. */
  | {
      readonly kind: 'slow';
      readonly connections: number;
      readonly declaredBytes: number;
      readonly sentBytes: number;
    };

export interface AttackerData {
  readonly webhookUrl: string;
  readonly caPem: string;
  /** Registry host in the pods of reviews. */
  readonly host: string;
  readonly order: Order;
}

/** Number of occurrences by HTTP status, error code, `connected` or `refused`. */
export type Tally = Readonly<Record<string, number>>;

const { webhookUrl, caPem, host, order }: AttackerData = workerData;
const url = new URL(webhookUrl);
const tally: Record<string, number> = {};

function count(outcome: string): void {
  tally[outcome] = (tally[outcome] ?? 0) + 1;
  parentPort?.postMessage(tally);
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

if (order.kind === 'bodies') {
  await sendBodies(order);
} else if (order.kind === 'idle') {
  await openConnections(order.connections, () => undefined);
} else {
  await sendSlowly(order);
}

/** Returns as many empty objects as fit. Of all JSON, they need the most memory for their size. */
function emptyObjects(bytes: number): string {
  return `[${Array.from({ length: Math.floor(bytes / 3) - 4 }, () => '{}').join()}]`;
}

function bodyOf({ body, bytes }: Extract<Order, { kind: 'bodies' }>): Buffer {
  if (body === 'empty-objects') {
    return Buffer.from(`{"a":${emptyObjects(bytes - 8)}}`);
  }
  const spec = { containers: [{ image: `${host}/app:1` }] };
  // With dots, because the log would redact it as a token otherwise.
  const longName = body === 'long-name' ? 'long.'.repeat(bytes / 5) : 'app';
  const text = JSON.stringify(
    buildPodReview({ metadata: { name: longName }, spec }, { namespace: 'attacker' }),
  );
  // The API server accepts tolerations that are empty objects.
  const padding = {
    'many-values': `"tolerations":${emptyObjects(bytes)},`,
    'large-value': `"hostname":"${'long.'.repeat(bytes / 5)}",`,
    'long-name': '',
  }[body];
  return Buffer.from(text.replace('"containers"', `${padding}"containers"`));
}

async function sendBodies(bodies: Extract<Order, { kind: 'bodies' }>): Promise<void> {
  const body = bodyOf(bodies);
  let remaining = bodies.count ?? Number.POSITIVE_INFINITY;
  const sender = async () => {
    while (remaining > 0) {
      remaining -= 1;
      const outcome = await post(body);
      count(outcome);
      // After an error, wait longer: retrying at full speed would take the CPU from the other tenants.
      await wait(/^\d/.test(outcome) ? bodies.pauseMs : Math.max(bodies.pauseMs, 200));
    }
  };
  await Promise.all(Array.from({ length: bodies.concurrency }, sender));
  count('all sent');
}

/** Returns the status of the response, or the code of the error. */
async function post(body: Buffer): Promise<string> {
  const request = httpsRequest(`${webhookUrl}?timeout=5s`, {
    method: 'POST',
    ca: caPem,
    agent: false,
    headers: { 'content-type': 'application/json', 'content-length': body.length },
    signal: AbortSignal.timeout(15_000),
  });
  // If the response arrives before the whole body is sent, sending the rest fails.
  const failed = once(request, 'error').then(([error]) => String(error.code ?? error.name));
  const responded = once(request, 'response').then(([response]) => {
    response.resume();
    return String(response.statusCode);
  });
  responded.catch(() => undefined);
  request.end(body);
  return await Promise.race([responded.catch(() => failed), failed]);
}

async function openConnections(total: number, onConnect: (socket: TLSSocket) => void): Promise<void> {
  // In batches, so that the kernel's queue of new connections does not overflow.
  for (let opened = 0; opened < total; opened += 16) {
    const batch = Array.from({ length: Math.min(16, total - opened) }, () => openConnection(onConnect));
    await Promise.all(batch);
  }
  count('all sent');
}

async function openConnection(onConnect: (socket: TLSSocket) => void): Promise<void> {
  const socket = connect({
    host: url.hostname,
    port: Number(url.port),
    ca: caPem,
    servername: 'localhost',
  });
  const opened = await Promise.race([
    once(socket, 'secureConnect').then(
      () => true,
      () => false,
    ),
    once(socket, 'close').then(() => false),
    wait(5_000).then(() => false),
  ]);
  socket.on('error', () => undefined); // The server may close the connection at any time, which `close` counts.
  socket.on('close', () => count('closed by the server'));
  count(opened ? 'connected' : 'refused');
  if (opened) {
    onConnect(socket);
  }
}

async function sendSlowly(slow: Extract<Order, { kind: 'slow' }>): Promise<void> {
  const head =
    `POST ${url.pathname}?timeout=5s HTTP/1.1\r\nhost: ${url.host}\r\ncontent-type: application/json\r\n` +
    `content-length: ${slow.declaredBytes}\r\n\r\n`;
  const part = Buffer.alloc(slow.sentBytes, 32);
  await openConnections(slow.connections, (socket) => {
    socket.write(head);
    socket.write(part);
    const timer = setInterval(() => socket.write(' '), 1_000);
    socket.on('close', () => clearInterval(timer));
    socket.on('data', (chunk: Buffer) => count(/^HTTP\/1\.1 (\d+)/.exec(chunk.toString())?.[1] ?? 'data'));
  });
}
