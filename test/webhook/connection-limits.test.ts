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
/** The bytes of a call, as text. */
const call = `POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;

describe('connections', () => {
  it('stay when the certificate changes, and new ones get the new certificate', async () => {
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

  it('outlive the 90 s for which the API server keeps them, and the times for a request', async () => {
    const { app, send } = await startWebhook();
    assert.ok(app.server.keepAliveTimeout > 90_000);
    app.server.headersTimeout = 100; // once the times for requests are over for a connection that was opened later …
    app.server.requestTimeout = 100;
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: getCaPem() });
    await send(buildPodReview(pod), { agent });
    await once(connecting(app).resume(), 'close');
    const { status, isReused } = await send(buildPodReview(pod), { agent }); // … this one is still there
    assert.deepEqual([status, isReused], [200, true]);
    agent.destroy();
  });

  it('that bring no request, or bring one slowly, are closed after seconds', async () => {
    const { app } = await startWebhook();
    assert.ok(app.server.headersTimeout <= 10_000);
    assert.ok(app.server.requestTimeout <= 10_000);
    app.server.headersTimeout = 100;
    app.server.requestTimeout = 200;
    for (const text of ['', 'POST /mut', call.slice(0, 200), call.slice(0, -10)]) {
      const socket = connecting(app);
      await once(socket, 'secureConnect');
      socket.write(text);
      await once(socket.resume(), 'close');
    }
  });

  it('are kept to their number: one more makes room by itself', async () => {
    const { app, send, outcomes } = await startWebhook({ maxConnections: 20 });
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: getCaPem() });
    await send(buildPodReview(pod), { agent });
    for (let count = 0; count < 60; count += 1) {
      const socket = connecting(app).resume();
      socket.on('error', () => undefined);
      await once(socket, 'secureConnect');
    }
    const open = await new Promise<number>((resolve) =>
      app.server.getConnections((_error, count) => resolve(count)),
    );
    assert.ok(open <= 20, `${open} connections`);
    assert.equal((await send(buildPodReview(pod), { agent })).isReused, true);
    assert.ok(outcomes.filter((what) => what === 'refused too-many-connections').length >= 40);
    agent.destroy();
  });

  it('take the next request as soon as the last was answered, though its end is not known yet', () => {
    const server = createServer();
    const { acceptRequest: gate } = limitConnections(server, {
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
    assert.equal(gate(first.request, first.response), true);
    first.response.end();
    assert.equal(gate(second.request, second.response), true);
    first.response.emit('close');
    assert.equal(gate(third.request, third.response), false, 'the second is not answered yet');
    assert.equal(socket.destroyed, true);
  });

  it('that come together are all served, as for the pods of a large Deployment', async () => {
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

  it('that never begin a handshake, or end before it, keep nobody from being served', async (t) => {
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
    await eventually('those that ended are gone', async () => {
      const open = await new Promise<number>((resolve) =>
        app.server.getConnections((_error, count) => resolve(count)),
      );
      return open <= 34;
    });
  });

  it('have one request in flight: more at once close them', async (t) => {
    const { promise, resolve } = Promise.withResolvers<UnavailableHost[]>();
    let asked = 0;
    const { app } = await startWebhook({}, () => {
      asked += 1;
      return promise;
    });
    const socket = connecting(app);
    t.after(() => resolve([]));
    await once(socket, 'secureConnect');
    socket.write(call + call + call);
    socket.resume();
    await eventually('it is closed', () => socket.closed);
    assert.equal(asked, 1);
    resolve([]);
  });

  it('may bring thousands of requests, one after another', async () => {
    const { app } = await startWebhook({
      pullSecrets: { hasFreshTokens: () => true, ensure: async () => [] },
    });
    const caller = await calling(app);
    for (let count = 0; count < 2_000; count += 1) {
      assert.match(await caller.call(), /^HTTP\/1.1 200 /);
    }
  });

  it('that hold a request back do not keep the server from closing', async () => {
    const { app } = await startWebhook();
    const held = ['P', call.slice(0, 40), call.slice(0, -1), `${call}P`].map((text) => {
      const socket = connecting(app);
      socket.on('error', () => undefined).resume();
      socket.once('secureConnect', () => socket.write(text));
      return socket;
    });
    await eventually('all are connected', () => held.every(({ authorized }) => authorized));
    const begun = performance.now();
    await app.close();
    assert.ok(performance.now() - begun < 10_000);
  });

  it('get an answer for what is unusual in HTTP', async () => {
    const { app } = await startWebhook();
    const cases: [string, RegExp][] = [
      [call.replace('host: x', 'host: x\r\nexpect: 100-continue'), /^HTTP\/1.1 100 /],
      [call.replace('host: x', 'host: x\r\nupgrade: h2c\r\nconnection: upgrade'), /^HTTP\/1.1 200 /],
      [call.replace('host: x', `host: x\r\nx-large: ${'x'.repeat(20_000)}`), /^HTTP\/1.1 431 /],
      [call.replace('host: x', `host: x${'\r\nx-many: x'.repeat(3_000)}`), /^HTTP\/1.1 431 /],
      [call.replace('content-length: ', 'content-length: -'), /^HTTP\/1.1 400 /],
      ['CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n', /^$/],
      ['\u0000\u0001', /^HTTP\/1.1 400 /],
    ];
    for (const [text, expected] of cases) {
      const socket = connecting(app);
      await once(socket, 'secureConnect');
      const answer = Promise.race([
        once(socket, 'data').then(([data]) => String(data)),
        once(socket, 'close').then(() => ''),
      ]);
      socket.write(text);
      assert.match(await answer, expected, text.slice(0, 100));
      socket.destroy();
    }
  });

  it('that are slow with large bodies make room for others, and small reviews need none', async () => {
    const { app, send } = await startWebhook();
    const declared = `POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${maxBodyBytes}\r\n\r\n`;
    const large = { metadata: { annotations: { large: 'x'.repeat(3_000_000) } }, spec: pod.spec };
    const slow: { socket: TLSSocket; answer: string }[] = [];
    const sent = maxBodyBytes - 1_000;
    for (let bytes = 0; bytes <= maxBytesInFlight; bytes += sent) {
      const one = { socket: connecting(app), answer: '' };
      one.socket
        .on('error', () => undefined)
        .on('data', (data) => {
          one.answer += data;
        });
      await once(one.socket, 'secureConnect');
      one.socket.write(declared + ' '.repeat(sent));
      slow.push(one);
    }
    after(() => {
      for (const { socket } of slow) {
        socket.destroy();
      }
    });
    const refused = await eventually('one is refused', () => slow.find(({ answer }) => answer !== ''));
    assert.match(refused.answer, /^HTTP\/1.1 503 .*retry-after: 1\r\n/s);
    assert.equal((await send(buildPodReview(pod))).status, 200);
    await eventually('a large review is served while the slow ones are there', async () => {
      return (await send(buildPodReview(large))).status === 200;
    });
    for (const { socket } of slow) {
      socket.destroy();
    }
    const answers = await Promise.all([1, 2, 3].map(() => send(buildPodReview(large))));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200],
      'their bytes do not count any more',
    );
  });

  it('are closed by the answer while draining, and no call in flight is lost', async () => {
    const { promise, resolve } = Promise.withResolvers<UnavailableHost[]>();
    const asked = Promise.withResolvers<void>();
    const { app, send, drain } = await startWebhook({}, () => {
      asked.resolve();
      return promise;
    });
    const agent = new Agent({ keepAlive: true, ca: getCaPem() });
    const inFlight = send(buildPodReview(pod), { agent });
    await asked.promise;
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

  it('of callers that go away, amid their call or before the answer, harm no other', async () => {
    const { promise, resolve } = Promise.withResolvers<UnavailableHost[]>();
    let asked = 0;
    const { app, send } = await startWebhook({}, () => {
      asked += 1;
      return promise;
    });
    for (const text of [call.slice(0, call.indexOf('{')), call.slice(0, -100), call]) {
      const socket = connecting(app);
      await once(socket, 'secureConnect');
      socket.write(text);
      if (text === call) {
        await eventually('its review is being worked on', () => asked === 1);
      }
      socket.destroy();
      await once(socket, 'close');
    }
    resolve([]);
    assert.equal((await send(buildPodReview(pod))).status, 200);
  });

  it('that bring a call in the moment of the end are answered, used before or not', async () => {
    for (const used of [true, false]) {
      const { app, drain } = await startWebhook();
      const accepted = once(app.server, 'secureConnection');
      const caller = await calling(app);
      await accepted;
      if (used) {
        assert.match(await caller.call(), /^HTTP\/1.1 200 /);
      }
      drain();
      const answered = caller.call();
      const closed = app.close(); // its bytes have come, and nobody has read them
      assert.match(await answered, /^HTTP\/1.1 200 /, `used: ${used}`);
      await closed;
    }
  });

  it('whose handshake is under way at the end have their call answered', async () => {
    const { app, drain } = await startWebhook();
    const accepted = once(app.server, 'connection');
    const called = calling(app);
    await accepted;
    drain();
    const closed = app.close();
    const caller = await called;
    assert.match(await caller.call(), /^HTTP\/1.1 200 /);
    await closed;
  });

  it('that were opened and never used, before the end or at it, do not hold it up', async () => {
    for (const event of ['secureConnection', 'connection']) {
      const { app } = await startWebhook();
      const accepted = once(app.server, event);
      const unused = connecting(app).resume();
      await accepted;
      const ended = once(unused, 'close');
      const startedAt = performance.now();
      await app.close();
      await ended;
      assert.ok(performance.now() - startedAt < 5_000);
    }
  });
});

function connecting(app: Webhook): TLSSocket {
  const { port } = app.server.address() as AddressInfo;
  return connect({ host: '127.0.0.1', port, ca: getCaPem() });
}

/** A connection of a caller that writes its calls at once, with nothing between. */
async function calling(app: Webhook) {
  const socket = connecting(app).setMaxListeners(0);
  await once(socket, 'secureConnect');
  return {
    /** Gives the first bytes of the answer; rejects if the connection ends before. */
    call: async () => {
      const answer = Promise.race([
        once(socket, 'data'),
        once(socket, 'close').then(() => Promise.reject(new Error('closed without an answer'))),
      ]);
      socket.write(call);
      const [bytes] = await answer;
      return String(bytes);
    },
  };
}
