// Tests the responses of the webhook's HTTPS server: invalid requests, deadlines, dry runs and failures.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Registry } from '../../src/ecr/registry.ts';
import { deniedHost, type UnavailableHost } from '../../src/pull-secrets/unavailable-host.ts';
import { maxHostsPerPod, maxPendingHostsPerNamespace } from '../../src/webhook/limits.ts';
import { eventually } from '../support/eventually.ts';
import { buildPodReview } from './admission-reviews.ts';
import { createRecordingLog, host, pod, rules, type SendOptions, startWebhook } from './webhook-server.ts';

/** Ways to send a request: as the API server does, and others that must work as well. */
const requestForms: readonly (readonly [string, SendOptions])[] = [
  ['with its length', {}],
  ['in chunks', { chunked: true }],
  ['with a charset', { contentType: 'application/json; charset=utf-8' }],
  ['without a timeout', { path: '/mutate' }],
];

describe('an invalid request', () => {
  const cases: [string, unknown, SendOptions, number, string][] = [
    ['invalid JSON', '{', {}, 400, 'invalid-json'],
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
    for (const [form, sendOptions] of requestForms) {
      it(`gets an error response: ${what}, ${form}`, async () => {
        const { send } = await startWebhook();
        const response = await send(body, { ...sendOptions, ...options });
        assert.equal(response.status, status);
        assert.equal(response.body.error.code, code);
        assert.notEqual(response.body.error.message, '');
      });
    }
  }

  it('gets an error response: no body', async () => {
    const { send } = await startWebhook();
    const { status, body } = await send('');
    assert.deepEqual([status, body.error.code], [400, 'invalid-json']);
  });
});

describe('a review', () => {
  for (const [form, sendOptions] of requestForms) {
    it(`that is sent ${form} gets the same response`, async () => {
      const { send } = await startWebhook();
      const { status, body } = await send(buildPodReview(pod), sendOptions);
      assert.equal(status, 200);
      assert.ok(body.response.patch);
    });

    for (const [what, handleReview] of [
      [
        'throws',
        () => {
          throw new TypeError('a bug with a secret');
        },
      ],
      ['rejects', () => Promise.reject(new TypeError('a bug with a secret'))],
    ] as const) {
      it(`that is sent ${form} gets a 500 if the handler ${what}`, async () => {
        const { send } = await startWebhook({ handleReview });
        const { status, body } = await send(buildPodReview(pod), sendOptions);
        assert.equal(status, 500);
        assert.deepEqual(body.error, { code: 'internal-error', message: 'internal error' });
      });
    }
  }

  it('of 6.9 MiB with a field __proto__ is handled like any other', async () => {
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

  it('gets a response before the deadline, with the patch and one warning, while the work continues', async () => {
    const { promise, resolve } = Promise.withResolvers<UnavailableHost[]>();
    const { send, outcomes } = await startWebhook({}, () => promise);
    const { body } = await send(buildPodReview(pod), { path: '/mutate?timeout=1s' });
    assert.equal(body.response.allowed, true);
    assert.ok(body.response.patch);
    assert.deepEqual(body.response.warnings, [`no pull token for ${host}: timed out; still in progress`]);
    assert.deepEqual(outcomes, ['missing-token ecr-image']);
    resolve([]);
  });

  it('is denied at the deadline if onFailure is deny, with the reason', async () => {
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
    it(`with a new image that the pod may be unable to pull is admitted with a warning, and starts no work ${JSON.stringify(changes)}`, async () => {
      const { log, lines } = createRecordingLog();
      const ensure = () => Promise.reject(new Error('nothing must be ensured'));
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

  describe('whose tokens a rule denies', () => {
    const otherHost = host.replace('eu-central-1', 'us-east-1');
    const podOfBoth = { spec: { containers: [{ image: `${otherHost}/a` }, { image: `${host}/b` }] } };
    const denyAll = { ...rules, findDenyingRule: () => 'registries[3]' };
    const denyOne = {
      ...rules,
      findDenyingRule: (_: string, { host: denied }: Registry) =>
        denied === otherHost ? 'registries[3]' : undefined,
    };
    const warning = `no pull token for ${host}: denied by registries[3]`;

    for (const changes of [{}, { dryRun: true }]) {
      it(`is admitted unchanged with a warning that names the rule, and starts no work ${JSON.stringify(changes)}`, async () => {
        const { log, lines } = createRecordingLog();
        const ensure = () => Promise.reject(new Error('nothing must be ensured'));
        const { send, outcomes } = await startWebhook({ onFailure: 'deny', log, rules: denyAll }, ensure);
        const { body } = await send(buildPodReview(pod, changes));
        assert.deepEqual([body.response.allowed, body.response.patch], [true, undefined]);
        assert.deepEqual(body.response.warnings, [warning]);
        assert.deepEqual(outcomes, ['warned denied-by-rule']);
        assert.deepEqual(
          lines().map(({ level, outcome, missing }) => [level, outcome, missing]),
          [['info', 'warned', [{ host, code: 'denied-by-rule' }]]],
        );
      });
    }

    it('is admitted unchanged if the denial becomes known only while the tokens are ensured', async () => {
      const ensure = async () => [deniedHost({ host, rule: 'registries[3]' })];
      const { send, outcomes } = await startWebhook({ onFailure: 'deny' }, ensure);
      const { body } = await send(buildPodReview(pod));
      assert.deepEqual([body.response.allowed, body.response.patch], [true, undefined]);
      assert.deepEqual(body.response.warnings, [warning]);
      assert.deepEqual(outcomes, ['warned denied-by-rule']);
    });

    it('gets the reference and a warning if only one of its registries is denied', async () => {
      const requested: string[] = [];
      const ensure = async (_: string, registries: readonly Registry[]) => {
        requested.push(...registries.map((registry) => registry.host));
        return [];
      };
      const { send, outcomes } = await startWebhook({ onFailure: 'deny', rules: denyOne }, ensure);
      const { body } = await send(buildPodReview(podOfBoth));
      assert.ok(body.response.allowed && body.response.patch);
      assert.deepEqual(body.response.warnings, [`no pull token for ${otherHost}: denied by registries[3]`]);
      assert.deepEqual([outcomes, requested], [['injected ecr-image'], [host]]);
    });
  });

  it('on a dry run gets the patch, and ensures nothing', async () => {
    const calls: string[] = [];
    const { send } = await startWebhook({
      pullSecrets: {
        hasFreshTokens: () => calls.push('hasFreshTokens') > 0,
        ensure: () => Promise.reject(new Error('must not be called')),
      },
    });
    const { body } = await send(buildPodReview(pod, { dryRun: true }));
    assert.ok(body.response.patch);
    assert.deepEqual(calls, []);
  });

  const bug = () => {
    throw new TypeError('bug');
  };
  for (const [what, pullSecrets] of [
    ['hasFreshTokens throws', { hasFreshTokens: bug, ensure: async () => [] }],
    ['ensure throws', { hasFreshTokens: () => false, ensure: bug }],
    ['ensure rejects', { hasFreshTokens: () => false, ensure: () => Promise.reject(new TypeError('bug')) }],
  ] as const) {
    it(`is admitted with the patch if ${what}, and the error is logged and counted once`, async () => {
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

  it('is admitted without a patch if the decision throws', async () => {
    const { send, outcomes } = await startWebhook({
      rules: { ...rules, resolveRegistry: bug },
    });
    const { status, body } = await send(buildPodReview(pod));
    assert.deepEqual([status, body.response.allowed, body.response.patch], [200, true, undefined]);
    assert.deepEqual(outcomes, ['error internal-error']);
  });

  it('whose work fails after the response has its error logged once', async () => {
    const { log, lines } = createRecordingLog();
    const { promise, reject } = Promise.withResolvers<UnavailableHost[]>();
    const { send } = await startWebhook({ log }, () => promise);
    await send(buildPodReview(pod), { path: '/mutate?timeout=100ms' });
    reject(new TypeError('bug'));
    const errors = await eventually('the error is logged', () => {
      const logged = lines().filter(({ level }) => level === 'error');
      return logged.length > 0 && logged;
    });
    assert.deepEqual(
      errors.map(({ msg }) => msg),
      ['failed to ensure a pull Secret'],
    );
  });

  it('of a namespace with too many pending hosts gets the patch and a warning at once', async () => {
    const { promise, resolve } = Promise.withResolvers<UnavailableHost[]>();
    let ensured = 0;
    const { send } = await startWebhook({}, () => {
      ensured += 1;
      return promise;
    });
    const containers = Array.from({ length: maxHostsPerPod }, (_, index) => ({
      image: `${100_000_000_000 + index}.dkr.ecr.eu-central-1.amazonaws.com/app`,
    }));
    const review = buildPodReview({ metadata: { name: 'app' }, spec: { containers } });
    const maxReviews = maxPendingHostsPerNamespace / maxHostsPerPod;
    const pending = Array.from({ length: maxReviews }, () => send(review));
    await eventually('these are pending', () => ensured === maxReviews);
    const { body } = await send(review);
    assert.ok(body.response.patch);
    assert.match(body.response.warnings?.join() ?? '', /too many pending requests/);
    const other = send(buildPodReview(pod, { namespace: 'team-b' }));
    await eventually('another namespace is not affected', () => ensured === maxReviews + 1);
    resolve([]);
    await Promise.all([...pending, other]);
    assert.equal((await send(review)).body.response.warnings, undefined, 'there is room again');
  });

  it('of a pod with more hosts than a Secret can hold gets a warning, and ensures no more than that', async () => {
    let ensured = 0;
    const { send } = await startWebhook({
      pullSecrets: {
        hasFreshTokens: () => false,
        ensure: async (_namespace, registries) => {
          ensured = registries.length;
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
    assert.equal(ensured, maxHostsPerPod);
  });

  for (const key of ['uid', 'namespace']) {
    it(`with a ${key} of a megabyte is invalid`, async () => {
      const { send } = await startWebhook();
      const { status, body } = await send(buildPodReview(pod, { [key]: 'x'.repeat(1_000_000) }));
      assert.deepEqual([status, body.error.code], [400, 'invalid-review']);
    });
  }
});
