// Tests that slow, hostile and numerous connections do not affect other clients, also during shutdown.
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer, IncomingMessage, ServerResponse } from 'node:http';
import { Agent } from 'node:https';
import { type AddressInfo, connect as connectPlain, Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import type { UnavailableHost } from '../../src/pull-secrets/unavailable-host.ts';
import { limitConnections } from '../../src/webhook/connection-limits.ts';
import { maxBodyBytes, maxBytesInFlight } from '../../src/webhook/limits.ts';
import { updateTlsIdentity, type Webhook } from '../../src/webhook/server.ts';
import { eventually } from '../support/eventually.ts';
import { buildPodReview } from './admission-reviews.ts';
import {
  getCaPem,
  getServedCertificatePem,
  issueServingKeyPair,
  pod,
  startWebhook,
} from './webhook-server.ts';

const body = JSON.stringify(buildPodReview(pod));
/** A whole HTTP request. */
const httpRequest = `POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;

describe('connections', () => {
  it('stay open when the certificate changes, and new ones get the new certificate', async () => {
    const { app, send } = await startWebhook();
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: getCaPem() });
    const first = await send(buildPodReview(pod), { agent });
    const next = await issueServingKeyPair();
    updateTlsIdentity(app, { ...next, clientCaPem: undefined });
    const kept = await send(buildPodReview(pod), { agent });
    const fresh = await send(buildPodReview(pod));
    assert.equal(kept.isReused, true);
    assert.equal(kept.status, 200);
    assert.equal(first.fingerprint, new X509Certificate(getServedCertificatePem()).fingerprint256);
    assert.equal(fresh.fingerprint, new X509Certificate(next.certPem).fingerprint256);
    agent.destroy();
  });

  it('stay open for longer than the 90 s for which the API server keeps them, despite the request timeouts', async () => {
    const { app, send } = await startWebhook();
    assert.ok(app.server.keepAliveTimeout > 90_000);
    app.server.headersTimeout = 100; // once the request timeouts have closed a connection that was opened later …
    app.server.requestTimeout = 100;
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: getCaPem() });
    await send(buildPodReview(pod), { agent });
    await once(openConnection(app).resume(), 'close');
    const { status, isReused } = await send(buildPodReview(pod), { agent }); // … this one is still open
    assert.deepEqual([status, isReused], [200, true]);
    agent.destroy();
  });

  it('without a request, or with a slow one, are closed after some seconds', async () => {
    const { app } = await startWebhook();
    assert.ok(app.server.headersTimeout <= 10_000);
    assert.ok(app.server.requestTimeout <= 10_000);
    app.server.headersTimeout = 100;
    app.server.requestTimeout = 200;
    for (const text of ['', 'POST /mut', httpRequest.slice(0, 200), httpRequest.slice(0, -10)]) {
      const socket = openConnection(app);
      await once(socket, 'secureConnect');
      socket.write(text);
      await once(socket.resume(), 'close');
    }
  });

  it('are limited: a new one evicts another', async () => {
    const { app, send, outcomes } = await startWebhook({ maxConnections: 20 });
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: getCaPem() });
    await send(buildPodReview(pod), { agent });
    for (let count = 0; count < 60; count += 1) {
      const socket = openConnection(app).resume();
      socket.on('error', () => undefined);
      await once(socket, 'secureConnect');
    }
    const open = await new Promise<number>((resolve) =>
      app.server.getConnections((_error, count) => resolve(count)),
    );
    assert.ok(open <= 20, `${open} connections`);
    assert.equal((await send(buildPodReview(pod), { agent })).isReused, true);
    assert.ok(outcomes.filter((outcome) => outcome === 'refused too-many-connections').length >= 40);
    agent.destroy();
  });

  it('accept the next request once the last response was sent, before its close event', () => {
    const server = createServer();
    const { acceptRequest } = limitConnections(server, {
      maxConnections: 1,
      monotonicNow: () => 0,
      onEvicted: () => undefined,
    });
    const socket = new Socket();
    server.emit('connection', socket);
    const exchange = () => {
      const request = new IncomingMessage(socket);
      return { request, response: new ServerResponse(request) };
    };
    const [first, second, third] = [exchange(), exchange(), exchange()];
    assert.equal(acceptRequest(first.request, first.response), true);
    first.response.end();
    assert.equal(acceptRequest(second.request, second.response), true);
    first.response.emit('close');
    assert.equal(acceptRequest(third.request, third.response), false, 'the second request is in flight');
    assert.equal(socket.destroyed, true);
  });

  it('that are opened at once are all served, as for the pods of a large Deployment', async () => {
    const { send } = await startWebhook();
    const statuses = await Promise.all(
      Array.from({ length: 300 }, async () => {
        const agent = new Agent({ ca: getCaPem() });
        const { status } = await send(buildPodReview(pod), { agent });
        return status;
      }),
    );
    assert.deepEqual(new Set(statuses), new Set([200]));
  });

  it('that never start a handshake, or close before it, do not affect other clients', async (t) => {
    const { app, send } = await startWebhook();
    const { port } = app.server.address() as AddressInfo;
    const silent = Array.from({ length: 100 }, () => connectPlain(port, '127.0.0.1'));
    t.after(() => {
      for (const socket of silent) {
        socket.destroy();
      }
    });
    await Promise.all(silent.map((socket) => once(socket, 'connect')));
    for (const [index, socket] of silent.entries()) {
      if (index % 3 === 0) {
        socket.end();
      } else if (index % 3 === 1) {
        socket.resetAndDestroy();
      }
    }
    const agent = new Agent({ ca: getCaPem() });
    assert.equal((await send(buildPodReview(pod), { agent })).status, 200);
    await eventually('the closed ones are removed', async () => {
      const open = await new Promise<number>((resolve) =>
        app.server.getConnections((_error, count) => resolve(count)),
      );
      return open <= 34;
    });
  });

  it('may have one request in flight, and are closed after a second one', async (t) => {
    const { promise, resolve } = Promise.withResolvers<UnavailableHost[]>();
    let ensured = 0;
    const { app } = await startWebhook({}, () => {
      ensured += 1;
      return promise;
    });
    const socket = openConnection(app);
    t.after(() => resolve([]));
    await once(socket, 'secureConnect');
    socket.write(httpRequest + httpRequest + httpRequest);
    socket.resume();
    await eventually('the connection is closed', () => socket.closed);
    assert.equal(ensured, 1);
    resolve([]);
  });

  it('may send thousands of requests, one after another', async () => {
    const { app } = await startWebhook({
      pullSecrets: { hasFreshTokens: () => true, ensure: async () => [] },
    });
    const client = await connectClient(app);
    for (let count = 0; count < 2_000; count += 1) {
      assert.match(await client.send(), /^HTTP\/1.1 200 /);
    }
  });

  it('with an incomplete request do not keep the server from closing', async () => {
    const { app } = await startWebhook();
    const sockets = ['P', httpRequest.slice(0, 40), httpRequest.slice(0, -1), `${httpRequest}P`].map(
      (text) => {
        const socket = openConnection(app);
        socket.on('error', () => undefined).resume();
        socket.once('secureConnect', () => socket.write(text));
        return socket;
      },
    );
    await eventually('all are connected', () => sockets.every(({ authorized }) => authorized));
    const startedAt = performance.now();
    await app.close();
    assert.ok(performance.now() - startedAt < 10_000);
  });

  it('get a response to unusual HTTP requests', async () => {
    const { app } = await startWebhook();
    const cases: [string, RegExp][] = [
      [httpRequest.replace('host: x', 'host: x\r\nexpect: 100-continue'), /^HTTP\/1.1 100 /],
      [httpRequest.replace('host: x', 'host: x\r\nupgrade: h2c\r\nconnection: upgrade'), /^HTTP\/1.1 200 /],
      [httpRequest.replace('host: x', `host: x\r\nx-large: ${'x'.repeat(20_000)}`), /^HTTP\/1.1 431 /],
      [httpRequest.replace('host: x', `host: x${'\r\nx-many: x'.repeat(3_000)}`), /^HTTP\/1.1 431 /],
      [httpRequest.replace('content-length: ', 'content-length: -'), /^HTTP\/1.1 400 /],
      ['CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n', /^$/],
      ['\u0000\u0001', /^HTTP\/1.1 400 /],
    ];
    for (const [text, expected] of cases) {
      const socket = openConnection(app);
      await once(socket, 'secureConnect');
      const response = Promise.race([
        once(socket, 'data').then(([data]) => String(data)),
        once(socket, 'close').then(() => ''),
      ]);
      socket.write(text);
      assert.match(await response, expected, text.slice(0, 100));
      socket.destroy();
    }
  });

  it('with slow, large bodies are closed to make room for others; small reviews need none', async () => {
    const { app, send } = await startWebhook();
    const declared = `POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${maxBodyBytes}\r\n\r\n`;
    const large = { metadata: { annotations: { large: 'x'.repeat(3_000_000) } }, spec: pod.spec };
    const slow: { socket: TLSSocket; response: string }[] = [];
    const sent = maxBodyBytes - 1_000;
    for (let bytes = 0; bytes <= maxBytesInFlight; bytes += sent) {
      const connection = { socket: openConnection(app), response: '' };
      connection.socket
        .on('error', () => undefined)
        .on('data', (data) => {
          connection.response += data;
        });
      await once(connection.socket, 'secureConnect');
      connection.socket.write(declared + ' '.repeat(sent));
      slow.push(connection);
    }
    after(() => {
      for (const { socket } of slow) {
        socket.destroy();
      }
    });
    const refused = await eventually('one is refused', () => slow.find(({ response }) => response !== ''));
    assert.match(refused.response, /^HTTP\/1.1 503 .*retry-after: 1\r\n/s);
    assert.equal((await send(buildPodReview(pod))).status, 200);
    await eventually('a large review is served next to the slow ones', async () => {
      return (await send(buildPodReview(large))).status === 200;
    });
    for (const { socket } of slow) {
      socket.destroy();
    }
    const responses = await Promise.all([1, 2, 3].map(() => send(buildPodReview(large))));
    assert.deepEqual(
      responses.map(({ status }) => status),
      [200, 200, 200],
      'their bytes no longer count',
    );
  });

  it('are closed by the response while draining, and no request in flight is lost', async () => {
    const { promise, resolve } = Promise.withResolvers<UnavailableHost[]>();
    const ensuring = Promise.withResolvers<void>();
    const { app, send, drain } = await startWebhook({}, () => {
      ensuring.resolve();
      return promise;
    });
    const agent = new Agent({ keepAlive: true, ca: getCaPem() });
    const inFlight = send(buildPodReview(pod), { agent });
    await ensuring.promise;
    drain();
    const startedAt = performance.now();
    const closed = app.close();
    resolve([]);
    const { status, body, connection } = await inFlight;
    await closed;
    assert.equal(status, 200);
    assert.ok(body.response.patch);
    assert.equal(connection, 'close');
    assert.ok(performance.now() - startedAt < 5_000, 'closing does not wait for idle connections');
    agent.destroy();
  });

  it('of clients that disconnect during a request or before the response do not affect others', async () => {
    const { promise, resolve } = Promise.withResolvers<UnavailableHost[]>();
    let ensured = 0;
    const { app, send } = await startWebhook({}, () => {
      ensured += 1;
      return promise;
    });
    for (const text of [
      httpRequest.slice(0, httpRequest.indexOf('{')),
      httpRequest.slice(0, -100),
      httpRequest,
    ]) {
      const socket = openConnection(app);
      await once(socket, 'secureConnect');
      socket.write(text);
      if (text === httpRequest) {
        await eventually('its review is in progress', () => ensured === 1);
      }
      socket.destroy();
      await once(socket, 'close');
    }
    resolve([]);
    assert.equal((await send(buildPodReview(pod))).status, 200);
  });

  it('whose request arrives when the server starts to close get a response, used before or not', async () => {
    for (const used of [true, false]) {
      const { app, drain } = await startWebhook();
      const accepted = once(app.server, 'secureConnection');
      const client = await connectClient(app);
      await accepted;
      if (used) {
        assert.match(await client.send(), /^HTTP\/1.1 200 /);
      }
      drain();
      const response = client.send();
      const closed = app.close(); // the bytes have arrived, but have not been read
      assert.match(await response, /^HTTP\/1.1 200 /, `used: ${used}`);
      await closed;
    }
  });

  it('whose handshake is in progress when the server starts to close get a response', async () => {
    const { app, drain } = await startWebhook();
    const accepted = once(app.server, 'connection');
    const connecting = connectClient(app);
    await accepted;
    drain();
    const closed = app.close();
    const client = await connecting;
    assert.match(await client.send(), /^HTTP\/1.1 200 /);
    await closed;
  });

  it('that are never used, opened before or during closing, do not delay it', async () => {
    for (const event of ['secureConnection', 'connection']) {
      const { app } = await startWebhook();
      const accepted = once(app.server, event);
      const unused = openConnection(app).resume();
      await accepted;
      const unusedClosed = once(unused, 'close');
      const startedAt = performance.now();
      await app.close();
      await unusedClosed;
      assert.ok(performance.now() - startedAt < 5_000);
    }
  });
});

function openConnection(app: Webhook): TLSSocket {
  const { port } = app.server.address() as AddressInfo;
  return connect({ host: '127.0.0.1', port, ca: getCaPem() });
}

/** Opens a connection of a client that writes each request in one piece. */
async function connectClient(app: Webhook) {
  const socket = openConnection(app).setMaxListeners(0);
  await once(socket, 'secureConnect');
  return {
    /** Resolves with the first bytes of the response. Rejects if the connection is closed before. */
    send: async () => {
      const response = Promise.race([
        once(socket, 'data'),
        once(socket, 'close').then(() => Promise.reject(new Error('closed without a response'))),
      ]);
      socket.write(httpRequest);
      const [bytes] = await response;
      return String(bytes);
    },
  };
}
