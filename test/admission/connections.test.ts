import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { Agent } from 'node:https';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { connect, type TLSSocket } from 'node:tls';
import type { Webhook } from '../../src/admission/webhook.ts';
import type { Shortfall } from '../../src/secrets/shortfall.ts';
import { eventually } from '../support/eventually.ts';
import { reviewOf } from './reviews.ts';
import { authorityPem, pod, servedPem, servingPair, started } from './serving.ts';

const body = JSON.stringify(reviewOf(pod));
/** The bytes of a call, as text. */
const call = `POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;

describe('connections', () => {
  it('stay when the certificate changes, and new ones get the new certificate', async () => {
    const { app, send } = await started();
    const agent = new Agent({ keepAlive: true, maxSockets: 1, ca: authorityPem() });
    const first = await send(reviewOf(pod), { agent });
    const next = await servingPair();
    app.server.setSecureContext({ cert: next.certPem, key: next.keyPem });
    const kept = await send(reviewOf(pod), { agent });
    const fresh = await send(reviewOf(pod));
    assert.equal(kept.kept, true);
    assert.equal(kept.status, 200);
    assert.equal(first.fingerprint, new X509Certificate(servedPem()).fingerprint256);
    assert.equal(fresh.fingerprint, new X509Certificate(next.certPem).fingerprint256);
    agent.destroy();
  });

  it('outlive the 90 s for which the API server keeps them', async () => {
    const { app } = await started();
    assert.ok(app.server.keepAliveTimeout > 90_000);
    assert.ok(app.server.headersTimeout > app.server.keepAliveTimeout);
    assert.ok(app.server.requestTimeout > 0);
  });

  it('are closed by the answer while draining, and no call in flight is lost', async () => {
    const { promise, resolve } = Promise.withResolvers<Shortfall[]>();
    const asked = Promise.withResolvers<void>();
    const { app, send, drain } = await started({}, () => {
      asked.resolve();
      return promise;
    });
    const agent = new Agent({ keepAlive: true, ca: authorityPem() });
    const inFlight = send(reviewOf(pod), { agent });
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
    const { promise, resolve } = Promise.withResolvers<Shortfall[]>();
    let asked = 0;
    const { app, send } = await started({}, () => {
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
    assert.equal((await send(reviewOf(pod))).status, 200);
  });

  it('that bring a call in the moment of the end are answered, used before or not', async () => {
    for (const used of [true, false]) {
      const { app, drain } = await started();
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
    const { app, drain } = await started();
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
      const { app } = await started();
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
  return connect({ host: '127.0.0.1', port, ca: authorityPem() });
}

/** A connection of a caller that writes its calls at once, with nothing between. */
async function calling(app: Webhook) {
  const socket = connecting(app);
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
