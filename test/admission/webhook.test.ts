import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { Agent } from 'node:https';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { connect } from 'node:tls';
import type { Webhook } from '../../src/admission/webhook.ts';
import type { Shortfall } from '../../src/secrets/shortfall.ts';
import { eventually } from '../support/eventually.ts';
import { reviewOf } from './reviews.ts';
import { authorityPem, host, pod, type SendOptions, servedPem, servingPair, started } from './serving.ts';

/** Calls as the API server sends them, and others that are as good. */
const manners: readonly (readonly [string, SendOptions])[] = [
  ['with its length', {}],
  ['in chunks', { chunked: true }],
  ['with a charset', { contentType: 'application/json; charset=utf-8' }],
  ['without a timeout', { path: '/mutate' }],
];

describe('what is no review', () => {
  const cases: [string, unknown, SendOptions, number, string][] = [
    ['no JSON', '{', {}, 400, 'not-json'],
    ['JSON of another kind', { hello: 1 }, {}, 400, 'bad-review'],
    ['a review without uid', reviewOf(pod, { uid: 1 }), {}, 400, 'bad-review'],
    [
      'another content type',
      'x=1',
      { contentType: 'application/x-www-form-urlencoded' },
      415,
      'FST_ERR_CTP_INVALID_MEDIA_TYPE',
    ],
    ['9 MiB', JSON.stringify('x'.repeat(9 * 1024 * 1024)), {}, 413, 'FST_ERR_CTP_BODY_TOO_LARGE'],
    ['another path', reviewOf(pod), { path: '/validate' }, 404, 'not-found'],
    ['a longer path', reviewOf(pod), { path: '/mutates' }, 404, 'not-found'],
    ['another method', '{}', { method: 'PUT' }, 404, 'not-found'],
  ];
  for (const [what, body, options, status, code] of cases) {
    for (const [how, manner] of manners) {
      it(`gets an answer that says so: ${what}, ${how}`, async () => {
        const { send } = await started();
        const answer = await send(body, { ...manner, ...options });
        assert.equal(answer.status, status);
        assert.equal(answer.body.error.code, code);
        assert.notEqual(answer.body.error.message, '');
      });
    }
  }

  it('gets an answer that says so: no body', async () => {
    const { send } = await started();
    const { status, body } = await send('');
    assert.deepEqual([status, body.error.code], [400, 'not-json']);
  });
});

describe('a review', () => {
  for (const [how, manner] of manners) {
    it(`that comes ${how} gets the same answer`, async () => {
      const { send } = await started();
      const { status, body } = await send(reviewOf(pod), manner);
      assert.equal(status, 200);
      assert.ok(body.response.patch);
    });

    for (const [what, answer] of [
      [
        'throws',
        () => {
          throw new TypeError('a bug with a secret');
        },
      ],
      ['rejects', () => Promise.reject(new TypeError('a bug with a secret'))],
    ] as const) {
      it(`that comes ${how} gets a 500 if all else ${what}`, async () => {
        const { send } = await started({ answer });
        const { status, body } = await send(reviewOf(pod), manner);
        assert.equal(status, 500);
        assert.deepEqual(body.error, { code: 'internal-error', message: 'internal error' });
      });
    }
  }

  it('of 7 MiB, with __proto__ among its fields, is answered like any other', async () => {
    const { send } = await started();
    const large = { ...pod, metadata: { annotations: { large: 'x'.repeat(7 * 1024 * 1024) } } };
    const text = JSON.stringify(reviewOf(large)).replace('"spec":', '"__proto__":{"polluted":true},"spec":');
    const { status, body } = await send(text);
    assert.equal(status, 200);
    assert.ok(body.response.patch);
    assert.ok(!('polluted' in {}));
  });

  it('is answered before the deadline, with the patch and one warning, while the work goes on', async () => {
    const { promise, resolve } = Promise.withResolvers<Shortfall[]>();
    const { send, counted } = await started({}, () => promise);
    const { body } = await send(reviewOf(pod), { path: '/mutate?timeout=1s' });
    assert.equal(body.response.allowed, true);
    assert.ok(body.response.patch);
    assert.deepEqual(body.response.warnings, [
      `no pull token yet for ${host}: not ready in time, still trying`,
    ]);
    assert.deepEqual(counted, ['incomplete ecr-image']);
    resolve([]);
  });

  it('is denied by the deadline where the operator chose that, and says why', async () => {
    const { promise, resolve } = Promise.withResolvers<Shortfall[]>();
    const { send } = await started({ onFailure: 'deny' }, () => promise);
    const { body } = await send(reviewOf(pod), { path: '/mutate?timeout=1s' });
    assert.equal(body.response.allowed, false);
    assert.equal(body.response.patch, undefined);
    assert.equal(body.response.status?.code, 503);
    assert.match(body.response.status?.message ?? '', /no pull token yet for .*: not ready in time/);
    resolve([]);
  });

  it('on a dry run gets the patch, and asks for nothing', async () => {
    const asked: string[] = [];
    const { send } = await started({
      pullSecrets: {
        covers: () => asked.push('covers') > 0,
        ensure: () => Promise.reject(new Error('asked')),
      },
    });
    const { body } = await send(reviewOf(pod, { dryRun: true }));
    assert.ok(body.response.patch);
    assert.deepEqual(asked, []);
  });

  for (const [what, pullSecrets] of [
    [
      'throws',
      {
        covers: () => {
          throw new TypeError('bug');
        },
        ensure: async () => [],
      },
    ],
    ['rejects', { covers: () => false, ensure: () => Promise.reject(new TypeError('bug')) }],
  ] as const) {
    it(`is admitted if our code ${what}`, async () => {
      const { send, counted } = await started({ pullSecrets });
      const { status, body } = await send(reviewOf(pod));
      assert.equal(status, 200);
      assert.equal(body.response.allowed, true);
      assert.deepEqual(body.response.warnings, ['ecr-pull-secrets: internal error, see its log']);
      assert.deepEqual(counted, ['error internal-error']);
    });
  }
});

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
    const { port } = app.server.address() as AddressInfo;
    const body = JSON.stringify(reviewOf(pod));
    const head = `POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
    for (const text of [head, head + body.slice(0, 100), head + body]) {
      const socket = connect({ host: '127.0.0.1', port, ca: authorityPem() });
      await once(socket, 'secureConnect');
      socket.write(text);
      if (text.endsWith(body)) {
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
    const connecting = calling(app);
    await accepted;
    drain();
    const closed = app.close();
    const caller = await connecting;
    assert.match(await caller.call(), /^HTTP\/1.1 200 /);
    await closed;
  });

  it('that were opened and never used, before the end or at it, do not hold it up', async () => {
    for (const event of ['secureConnection', 'connection']) {
      const { app } = await started();
      const { port } = app.server.address() as AddressInfo;
      const accepted = once(app.server, event);
      const unused = connect({ host: '127.0.0.1', port, ca: authorityPem() }).resume();
      await accepted;
      const ended = once(unused, 'close');
      const startedAt = performance.now();
      await app.close();
      await ended;
      assert.ok(performance.now() - startedAt < 5_000);
    }
  });
});

/** A connection of a caller that writes its calls at once, with nothing between. */
async function calling(app: Webhook) {
  const { port } = app.server.address() as AddressInfo;
  const socket = connect({ host: '127.0.0.1', port, ca: authorityPem() });
  await once(socket, 'secureConnect');
  const body = JSON.stringify(reviewOf(pod));
  const head = `POST /mutate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
  return {
    /** Gives the first bytes of the answer; rejects if the connection ends before. */
    call: async () => {
      const answer = Promise.race([
        once(socket, 'data'),
        once(socket, 'close').then(() => Promise.reject(new Error('closed without an answer'))),
      ]);
      socket.write(head + body);
      const [bytes] = await answer;
      return String(bytes);
    },
  };
}
