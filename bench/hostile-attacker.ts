// A thread of its own that attacks the webhook's port, so that the attack does not delay what measures its effect.
import { once } from 'node:events';
import { request as httpsRequest } from 'node:https';
import { connect, type TLSSocket } from 'node:tls';
import { parentPort, workerData } from 'node:worker_threads';
import { buildPodReview } from '../test/webhook/admission-reviews.ts';

/** What to do, until the thread is terminated. Numbers of bytes are those of whole bodies. */
export type Order =
  /** POST bodies, so many at once, again and again. */
  | {
      readonly kind: 'bodies';
      readonly body: 'empty-objects' | 'many-values' | 'large-value' | 'long-name';
      readonly bytes: number;
      readonly atOnce: number;
      /** Time between two bodies of one sender, in ms. */
      readonly pauseMs: number;
      /** Undefined: no end. */
      readonly count?: number;
    }
  /** TLS connections that send nothing. */
  | { readonly kind: 'idle'; readonly connections: number }
  /** Requests that declare so many bytes, send a part of it at once, and then one byte a second. */
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

/** How often something happened: an HTTP status, an error code, `connected`, `refused`. */
export type Tally = Readonly<Record<string, number>>;

const { webhookUrl, caPem, host, order }: AttackerData = workerData;
const url = new URL(webhookUrl);
const tally: Record<string, number> = {};

function count(what: string): void {
  tally[what] = (tally[what] ?? 0) + 1;
  parentPort?.postMessage(tally);
}

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

if (order.kind === 'bodies') await sendBodies(order);
else if (order.kind === 'idle') await openConnections(order.connections, () => undefined);
else await sendSlowly(order);

/** As many small objects as there is room for: what costs the most memory for its size. */
function emptyObjects(bytes: number): string {
  return `[${Array.from({ length: Math.floor(bytes / 3) - 4 }, () => '{}').join()}]`;
}

function bodyOf({ body, bytes }: Extract<Order, { kind: 'bodies' }>): Buffer {
  if (body === 'empty-objects') return Buffer.from(`{"a":${emptyObjects(bytes - 8)}}`);
  const spec = { containers: [{ image: `${host}/app:1` }] };
  // with dots, or the log would take it for a token and leave it out
  const longName = body === 'long-name' ? 'long.'.repeat(bytes / 5) : 'app';
  const text = JSON.stringify(
    buildPodReview({ metadata: { name: longName }, spec }, { namespace: 'attacker' }),
  );
  // tolerations may be empty objects in a pod that an API server passes on
  const filling = {
    'many-values': `"tolerations":${emptyObjects(bytes)},`,
    'large-value': `"hostname":"${'long.'.repeat(bytes / 5)}",`,
    'long-name': '',
  }[body];
  return Buffer.from(text.replace('"containers"', `${filling}"containers"`));
}

async function sendBodies(bodies: Extract<Order, { kind: 'bodies' }>): Promise<void> {
  const body = bodyOf(bodies);
  let left = bodies.count ?? Number.POSITIVE_INFINITY;
  const sender = async () => {
    while (left > 0) {
      left -= 1;
      const outcome = await post(body);
      count(outcome);
      // a port that refuses is not tried as fast as this thread can: that would cost the others their CPU
      await wait(/^\d/.test(outcome) ? bodies.pauseMs : Math.max(bodies.pauseMs, 200));
    }
  };
  await Promise.all(Array.from({ length: bodies.atOnce }, sender));
  count('all sent');
}

/** The status of the answer, or the code of the error. */
async function post(body: Buffer): Promise<string> {
  const request = httpsRequest(`${webhookUrl}?timeout=5s`, {
    method: 'POST',
    ca: caPem,
    agent: false,
    headers: { 'content-type': 'application/json', 'content-length': body.length },
    signal: AbortSignal.timeout(15_000),
  });
  // an answer may come before the body is sent, whose rest then has nowhere to go
  const failed = once(request, 'error').then(([error]) => String(error.code ?? error.name));
  const answered = once(request, 'response').then(([response]) => {
    response.resume();
    return String(response.statusCode);
  });
  answered.catch(() => undefined);
  request.end(body);
  return await Promise.race([answered.catch(() => failed), failed]);
}

async function openConnections(wanted: number, onConnect: (socket: TLSSocket) => void): Promise<void> {
  // a few at a time, or the kernel's queue of new connections overflows
  for (let opened = 0; opened < wanted; opened += 16) {
    const batch = Array.from({ length: Math.min(16, wanted - opened) }, () => openConnection(onConnect));
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
  socket.on('error', () => undefined); // the server may close it at any time, which is counted next
  socket.on('close', () => count('closed by the server'));
  count(opened ? 'connected' : 'refused');
  if (opened) onConnect(socket);
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
