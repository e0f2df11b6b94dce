import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { UnavailableHost } from '../../src/pull-secrets/unavailable-host.ts';
import { maxHostsPerPod, maxPendingHostsPerNamespace } from '../../src/webhook/limits.ts';
import { eventually } from '../support/eventually.ts';
import { buildPodReview } from './admission-reviews.ts';
import { createRecordingLog, host, pod, rules, type SendOptions, startWebhook } from './webhook-server.ts';

/** Calls as the API server sends them, and others that are as good. */
const manners: readonly (readonly [string, SendOptions])[] = [
  ['with its length', {}],
  ['in chunks', { chunked: true }],
  ['with a charset', { contentType: 'application/json; charset=utf-8' }],
  ['without a timeout', { path: '/mutate' }],
];

describe('what is no review', () => {
  const cases: [string, unknown, SendOptions, number, string][] = [
    ['no JSON', '{', {}, 400, 'invalid-json'],
    ['JSON of another kind', { hello: 1 }, {}, 400, 'invalid-review'],
    ['a review without uid', buildPodReview(pod, { uid: 1 }), {}, 400, 'invalid-review'],
    [
      'another content type',
      'x=1',
      { contentType: 'application/x-www-form-urlencoded' },
      415,
      'FST_ERR_CTP_INVALID_MEDIA_TYPE',
    ],
    ['9 MiB', JSON.stringify('x'.repeat(9 * 1024 * 1024)), {}, 413, 'body-too-large'],
    ['too many values', `[${'0,'.repeat(100_000)}0]`, {}, 413, 'too-many-values'],
    ['another path', buildPodReview(pod), { path: '/validate' }, 404, 'not-found'],
    ['a longer path', buildPodReview(pod), { path: '/mutates' }, 404, 'not-found'],
    ['another method', '{}', { method: 'PUT' }, 404, 'not-found'],
  ];
  for (const [what, body, options, status, code] of cases) {
    for (const [how, manner] of manners) {
      it(`gets an answer that says so: ${what}, ${how}`, async () => {
        const { send } = await startWebhook();
        const answer = await send(body, { ...manner, ...options });
        assert.equal(answer.status, status);
        assert.equal(answer.body.error.code, code);
        assert.notEqual(answer.body.error.message, '');
      });
    }
  }

  it('gets an answer that says so: no body', async () => {
    const { send } = await startWebhook();
    const { status, body } = await send('');
    assert.deepEqual([status, body.error.code], [400, 'invalid-json']);
  });
});

describe('a review', () => {
  for (const [how, manner] of manners) {
    it(`that comes ${how} gets the same answer`, async () => {
      const { send } = await startWebhook();
      const { status, body } = await send(buildPodReview(pod), manner);
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
        const { send } = await startWebhook({ handleReview: answer });
        const { status, body } = await send(buildPodReview(pod), manner);
        assert.equal(status, 500);
        assert.deepEqual(body.error, { code: 'internal-error', message: 'internal error' });
      });
    }
  }

  it('of 6.9 MiB, with __proto__ among its fields, is answered like any other', async () => {
    const { send } = await startWebhook();
    const large = { ...pod, metadata: { annotations: { large: 'x'.repeat(6.9 * 1024 * 1024) } } };
    const text = JSON.stringify(buildPodReview(large)).replace(
      '"spec":',
      '"__proto__":{"polluted":true},"spec":',
    );
    const { status, body } = await send(text);
    assert.equal(status, 200);
    assert.ok(body.response.patch);
    assert.ok(!('polluted' in {}));
  });

  it('is answered before the deadline, with the patch and one warning, while the work goes on', async () => {
    const { promise, resolve } = Promise.withResolvers<UnavailableHost[]>();
    const { send, outcomes } = await startWebhook({}, () => promise);
    const { body } = await send(buildPodReview(pod), { path: '/mutate?timeout=1s' });
    assert.equal(body.response.allowed, true);
    assert.ok(body.response.patch);
    assert.deepEqual(body.response.warnings, [`no pull token for ${host}: timed out; still in progress`]);
    assert.deepEqual(outcomes, ['missing-token ecr-image']);
    resolve([]);
  });

  it('is denied by the deadline where the operator chose that, and says why', async () => {
    const { promise, resolve } = Promise.withResolvers<UnavailableHost[]>();
    const { send } = await startWebhook({ onFailure: 'deny' }, () => promise);
    const { body } = await send(buildPodReview(pod), { path: '/mutate?timeout=1s' });
    assert.equal(body.response.allowed, false);
    assert.equal(body.response.patch, undefined);
    assert.equal(body.response.status?.code, 503);
    assert.match(body.response.status?.message ?? '', /no pull token for .*: timed out/);
    resolve([]);
  });

  for (const changes of [{}, { dryRun: true }]) {
    it(`gets a warning for an image that its pod may be unable to pull, is admitted in any case, and starts no work ${JSON.stringify(changes)}`, async () => {
      const { log, lines } = createRecordingLog();
      const ensure = () => Promise.reject(new Error('nothing is to be ensured'));
      const { send, outcomes } = await startWebhook({ onFailure: 'deny', log }, ensure);
      const oldObject = { ...pod, spec: { containers: [{ image: 'busybox' }] } };
      const { body } = await send(
        buildPodReview(pod, {
          operation: 'UPDATE',
          subResource: 'ephemeralcontainers',
          oldObject,
          ...changes,
        }),
      );
      assert.deepEqual([body.response.allowed, body.response.patch], [true, undefined]);
      assert.match(body.response.warnings?.join() ?? '', /^the new ECR image may fail to pull: /);
      assert.deepEqual(outcomes, ['warned missing-reference']);
      const line = lines().find(({ msg }) => msg === 'handled admission request');
      assert.deepEqual(
        [line?.['level'], line?.['outcome'], line?.['reason'], line?.['missing']],
        ['warn', 'warned', 'missing-reference', [{ host, code: 'missing-reference' }]],
      );
    });
  }

  it('on a dry run gets the patch, and asks for nothing', async () => {
    const asked: string[] = [];
    const { send } = await startWebhook({
      pullSecrets: {
        hasFreshTokens: () => asked.push('covers') > 0,
        ensure: () => Promise.reject(new Error('asked')),
      },
    });
    const { body } = await send(buildPodReview(pod, { dryRun: true }));
    assert.ok(body.response.patch);
    assert.deepEqual(asked, []);
  });

  const bug = () => {
    throw new TypeError('bug');
  };
  for (const [what, pullSecrets] of [
    ['covers throws', { hasFreshTokens: bug, ensure: async () => [] }],
    ['ensure throws', { hasFreshTokens: () => false, ensure: bug }],
    ['ensure rejects', { hasFreshTokens: () => false, ensure: () => Promise.reject(new TypeError('bug')) }],
  ] as const) {
    it(`is admitted with the patch if ${what}, which is logged and counted once`, async () => {
      const { log, lines } = createRecordingLog();
      const { send, outcomes } = await startWebhook({ pullSecrets, log });
      const { status, body } = await send(buildPodReview(pod));
      assert.equal(status, 200);
      assert.equal(body.response.allowed, true);
      assert.ok(body.response.patch);
      assert.deepEqual(body.response.warnings, ['ecr-pull-secrets: internal error; see the webhook log']);
      assert.deepEqual(outcomes, ['error internal-error']);
      assert.deepEqual(
        lines().map(({ level, msg }) => [level, msg]),
        [['error', 'failed to handle admission request']],
      );
    });
  }

  it('is admitted without a patch if even the decision throws', async () => {
    const { send, outcomes } = await startWebhook({
      rules: { ...rules, resolveRegistry: bug },
    });
    const { status, body } = await send(buildPodReview(pod));
    assert.deepEqual([status, body.response.allowed, body.response.patch], [200, true, undefined]);
    assert.deepEqual(outcomes, ['error internal-error']);
  });

  it('has an error of the work that goes on after its answer logged once', async () => {
    const { log, lines } = createRecordingLog();
    const { promise, reject } = Promise.withResolvers<UnavailableHost[]>();
    const { send } = await startWebhook({ log }, () => promise);
    await send(buildPodReview(pod), { path: '/mutate?timeout=100ms' });
    reject(new TypeError('bug'));
    const errors = await eventually('the error is logged', () => {
      const found = lines().filter(({ level }) => level === 'error');
      return found.length > 0 && found;
    });
    assert.deepEqual(
      errors.map(({ msg }) => msg),
      ['failed to ensure a pull Secret'],
    );
  });

  it('of a namespace for which too many hosts are waited for gets the patch and a warning at once', async () => {
    const { promise, resolve } = Promise.withResolvers<UnavailableHost[]>();
    let asked = 0;
    const { send } = await startWebhook({}, () => {
      asked += 1;
      return promise;
    });
    const containers = Array.from({ length: maxHostsPerPod }, (_, index) => ({
      image: `${100_000_000_000 + index}.dkr.ecr.eu-central-1.amazonaws.com/app`,
    }));
    const review = buildPodReview({ metadata: { name: 'app' }, spec: { containers } });
    const allowed = maxPendingHostsPerNamespace / maxHostsPerPod;
    const waiting = Array.from({ length: allowed }, () => send(review));
    await eventually('these wait', () => asked === allowed);
    const { body } = await send(review);
    assert.ok(body.response.patch);
    assert.match(body.response.warnings?.join() ?? '', /too many pending requests/);
    const other = send(buildPodReview(pod, { namespace: 'team-b' }));
    await eventually('another namespace is not concerned', () => asked === allowed + 1);
    resolve([]);
    await Promise.all([...waiting, other]);
    assert.equal((await send(review)).body.response.warnings, undefined, 'there is room again');
  });

  it('of a pod with more hosts than a Secret can hold says so, and waits for no more than that', async () => {
    let asked = 0;
    const { send } = await startWebhook({
      pullSecrets: {
        hasFreshTokens: () => false,
        ensure: async (_namespace, registries) => {
          asked = registries.length;
          return [];
        },
      },
    });
    const containers = Array.from({ length: maxHostsPerPod + 5 }, (_, index) => ({
      image: `${100_000_000_000 + index}.dkr.ecr.eu-central-1.amazonaws.com/app`,
    }));
    const { body } = await send(buildPodReview({ spec: { containers } }));
    assert.ok(body.response.patch);
    assert.match(body.response.warnings?.join() ?? '', /the pull Secret is full/);
    assert.equal(asked, maxHostsPerPod);
  });

  for (const key of ['uid', 'namespace']) {
    it(`with a ${key} of a megabyte is none`, async () => {
      const { send } = await startWebhook();
      const { status, body } = await send(buildPodReview(pod, { [key]: 'x'.repeat(1_000_000) }));
      assert.deepEqual([status, body.error.code], [400, 'invalid-review']);
    });
  }
});
