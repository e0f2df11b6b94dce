import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Shortfall } from '../../src/secrets/shortfall.ts';
import { reviewOf } from './reviews.ts';
import { host, pod, type SendOptions, started } from './serving.ts';

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
