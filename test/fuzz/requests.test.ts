// Random bytes on the webhook's port: methods, paths, headers, lengths, chunks, incomplete and pipelined requests, invalid TLS.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { after, before, describe } from 'node:test';
import { connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { installServiceAccount } from '../support/installation.ts';
import { startProgram } from '../support/program.ts';
import { buildPodReview } from '../webhook/admission-reviews.ts';
import { fuzz } from './fuzz-runner.ts';
import { FuzzTarget, host } from './fuzz-target.ts';
import { placeholder } from './malformed-json.ts';

/** The data that one connection sends, and how it ends. */
interface Conversation {
  /** `none`: the bytes are sent over plain TCP. */
  readonly tls: 'valid' | 'none' | 'old-version';
  /** Sent in sequence, each character as one byte. */
  readonly writes: readonly string[];
  /** `abandon`: the connection stays open, and nothing more is sent. */
  readonly end: 'fin' | 'reset' | 'abandon';
}

const pod = { metadata: { name: 'raw' }, spec: { containers: [{ image: `${host}/app:1` }] } };
const review = JSON.stringify(buildPodReview(pod, { namespace: 'team-good' }));

const lineEnd = fc.constantFrom('\r\n', '\r\n', '\r\n', '\n', '\r', '\r\n ');
const token = fc.oneof(
  fc.string({ maxLength: 12, unit: 'binary-ascii' }),
  fc.constantFrom('', ' ', '\u0000', placeholder, 'a'.repeat(20_000)),
);

const requestLine = fc
  .tuple(
    fc.oneof(
      { weight: 4, arbitrary: fc.constant('POST') },
      fc.constantFrom('GET', 'PUT', 'CONNECT', 'PRI', 'post'),
      token,
    ),
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom('/mutate?timeout=5s', '/mutate') },
      fc.constantFrom(
        '/mutate?timeout=1e9s',
        '/mutate?timeout=%',
        '//mutate',
        '/mutate/..',
        '*',
        '/%',
        'http://x/',
      ),
      fc.constantFrom('/mutate#', '/healthz', '/metrics', `/${'p'.repeat(20_000)}`, `/mutate?${placeholder}`),
      token,
    ),
    fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/9', ''),
  )
  .map((parts) => parts.join(' '));

const headers = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('content-type: application/json', 'host: x') },
  { weight: 3, arbitrary: fc.constant(`content-length: ${review.length}`) },
  fc.constantFrom(
    'content-length: -1',
    'content-length: 1e3',
    'content-length: 99999999999',
    'content-length: 0',
  ),
  fc.constantFrom(
    'transfer-encoding: chunked',
    'transfer-encoding: chunked, chunked',
    'transfer-encoding: gzip',
  ),
  fc.constantFrom(
    'expect: 100-continue',
    'expect: x',
    'upgrade: websocket',
    'connection: upgrade',
    'trailer: a',
  ),
  fc.constantFrom(
    'content-type: text/plain',
    'content-type: application/json; charset=utf-16',
    'content-encoding: br',
  ),
  fc.constantFrom(
    `authorization: Bearer ${placeholder}`,
    `cookie: ${placeholder}`,
    `x: ${'h'.repeat(20_000)}`,
  ),
  fc.tuple(token, token).map((pair) => pair.join(': ')),
);

const body = fc.oneof(
  { weight: 4, arbitrary: fc.constant(review) },
  { weight: 2, arbitrary: fc.constant(`${review.length.toString(16)}\r\n${review}\r\n0\r\n\r\n`) },
  fc.constantFrom(
    '',
    '0\r\n\r\n',
    'ffffffffffffffff\r\n',
    'g\r\n',
    '-1\r\n\r\n',
    '5;x=y\r\nhello\r\n0\r\na: b\r\n\r\n',
  ),
  fc.constantFrom('null', '{', '"', '[1', `{"a":"${placeholder}"}`, '\ufeff{}', '\u0000'),
  fc.nat(review.length).map((length) => review.slice(0, length)),
  fc.string({ maxLength: 50, unit: 'binary-ascii' }),
);

const request = fc
  .tuple(requestLine, fc.array(headers, { maxLength: 6 }), lineEnd, body)
  .map(([line, fields, end, content]) => `${[line, ...fields].join(end)}${end}${end}${content}`);

/** A valid request, so that only the data before or after it is invalid. */
const validRequest =
  'POST /mutate?timeout=5s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n' +
  `content-length: ${review.length}\r\n\r\n${review}`;

const conversations: fc.Arbitrary<Conversation> = fc.record({
  tls: fc.constantFrom('valid', 'valid', 'valid', 'valid', 'none', 'old-version'),
  writes: fc.array(
    fc.oneof(
      { weight: 3, arbitrary: request },
      fc.constant(validRequest),
      fc.string({ unit: 'binary-ascii' }),
    ),
    { minLength: 1, maxLength: 4 },
  ),
  end: fc.constantFrom('fin', 'fin', 'reset', 'abandon'),
});

describe('fuzzed requests', () => {
  let cluster: ApiStandIn;
  let ecr: EcrDouble;
  let target: FuzzTarget;
  const abandoned = new Set<Socket>();
  before(async () => {
    cluster = await startApiStandIn();
    ecr = await startEcrDouble();
    cluster.seed('/api/v1/namespaces/team-good', { metadata: { name: 'team-good' } });
    const kubeconfigPath = await installServiceAccount(cluster);
    const program = await startProgram({ kubeconfigPath, environment: ecr.env() });
    target = new FuzzTarget(program, () => ecr.secrets());
    await target.assertServesSoon();
  });
  after(async () => {
    for (const socket of abandoned) {
      socket.destroy();
    }
    target.close();
    await target.program.stop();
    await ecr.stop();
    await cluster.stop();
  });

  fuzz({
    part: 'requests',
    values: conversations,
    check: async (conversation) => {
      const received = await converse(target, conversation, abandoned);
      const statuses = [...received.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
      assert.ok(!statuses.includes(500), received.slice(0, 500));
      target.assertShowsNothing('the response', received);
      await target.assertServes();
    },
    afterwards: async () => {
      for (const socket of abandoned) {
        socket.destroy();
      }
      await target.assertCleanAfterwards();
    },
  });
});

/** Maximum number of abandoned connections that are open at a time. */
const maxAbandonedSockets = 50;
/** A server that sends nothing for this time is waiting for more data, in ms. */
const silenceMs = 50;

/** Sends the data of a conversation. Returns what was received until the connection closed or went silent. */
async function converse(
  target: FuzzTarget,
  { tls, writes, end }: Conversation,
  abandoned: Set<Socket>,
): Promise<string> {
  const socket = open(new URL(target.program.webhookUrl), tls, target.program.caPem);
  let received = '';
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  socket.on('error', () => undefined); // a reset is a valid reaction
  const closed = once(socket, 'close').catch(() => undefined);
  for (const bytes of writes) {
    if (socket.destroyed) {
      break;
    }
    socket.write(Buffer.from(target.plant(bytes), 'latin1'));
    await Promise.race([closed, waitForSilence(socket)]);
  }
  if (end === 'abandon' && !socket.destroyed) {
    abandonSocket(socket, abandoned);
    return received;
  }
  if (end === 'fin') {
    socket.end();
    await Promise.race([closed, waitForSilence(socket)]);
  }
  socket.destroy();
  await closed;
  return received;
}

function open({ hostname, port }: URL, tls: Conversation['tls'], ca: string): Socket {
  const options = { host: hostname, port: Number(port) };
  if (tls === 'none') {
    return connectTcp(options);
  }
  const versions = tls === 'valid' ? {} : { minVersion: 'TLSv1', maxVersion: 'TLSv1.1' };
  return connectTls({ ...options, ca, servername: 'localhost', ...(versions as object) });
}

function abandonSocket(socket: Socket, abandoned: Set<Socket>): void {
  const [oldest] = abandoned;
  if (abandoned.size >= maxAbandonedSockets && oldest !== undefined) {
    oldest.destroy();
    abandoned.delete(oldest);
  }
  abandoned.add(socket);
}

/** Resolves when nothing was received for `silenceMs`. */
async function waitForSilence(socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let timer = setTimeout(resolve, silenceMs);
  const restart = () => {
    clearTimeout(timer);
    timer = setTimeout(resolve, silenceMs);
  };
  socket.on('data', restart);
  await promise;
  socket.off('data', restart);
}
