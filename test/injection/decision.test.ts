// Tests for which pods the webhook adds the reference, which it skips and why, and which reviews are invalid.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Registry } from '../../src/ecr/registry.ts';
import { decide, getAdmissionExclusions } from '../../src/injection/decision.ts';
import { createPullSecretReference } from '../../src/injection/patch.ts';
import { isInvalidReview, parseReview } from '../../src/webhook/admission-request.ts';
import { resolveRegistry } from '../support/registries.ts';
import { buildPodReview } from '../webhook/admission-reviews.ts';

const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const rules = {
  reference: createPullSecretReference('ecr-pull-secrets'),
  resolveRegistry,
  exclude: { namespaces: ['kube-*', 'quiet'], accounts: ['1111*'] },
  findDenyingRule: () => undefined,
};
const pod = { spec: { containers: [{ name: 'app', image: `${host}/app:1` }] } };
const podWithReference = { spec: { ...pod.spec, imagePullSecrets: [{ name: 'ecr-pull-secrets' }] } };

function decideOn(object: unknown, changes: Record<string, unknown> = {}) {
  const review = parseReview(buildPodReview(object, changes));
  assert.ok(!isInvalidReview(review));
  return decide(review, rules);
}

describe('decisions', () => {
  const skipped: [string, unknown, Record<string, unknown>, string][] = [
    [
      'a Deployment',
      pod,
      { resource: { group: 'apps', version: 'v1', resource: 'deployments' } },
      'not-a-pod',
    ],
    [
      'a pod of another group',
      pod,
      { resource: { group: 'x', version: 'v1', resource: 'pods' } },
      'not-a-pod',
    ],
    ['pods/status', pod, { operation: 'UPDATE', subResource: 'status' }, 'not-a-pod'],
    ['a deletion', null, { operation: 'DELETE' }, 'unsupported-operation'],
    ['an excluded namespace', pod, { namespace: 'kube-system' }, 'namespace-excluded'],
    ['an excluded namespace named in full', pod, { namespace: 'quiet' }, 'namespace-excluded'],
    ['a pod without ECR images', { spec: { containers: [{ image: 'busybox' }] } }, {}, 'no-ecr-image'],
    [
      'an excluded account',
      { spec: { containers: [{ image: `${host.replace(/^\d+/, '111122223333')}/a` }] } },
      {},
      'account-excluded',
    ],
    ['no object', undefined, {}, 'no-ecr-image'],
    [
      'an update of a pod that does not refer to the Secret, if its images stay',
      pod,
      { operation: 'UPDATE', oldObject: pod },
      'no-new-image',
    ],
  ];
  for (const [what, object, changes, reason] of skipped) {
    it(`skip ${what} (${reason})`, () => {
      assert.deepEqual(decideOn(object, changes), { action: 'skip', reason });
    });
  }

  it('skip pods in namespaces that are excluded from admission only, and in all other excluded namespaces', () => {
    const exclude = { namespaces: ['quiet'], admissionNamespaces: ['kube-system'], accounts: ['9*'] };
    assert.deepEqual(getAdmissionExclusions({ exclude }), {
      namespaces: ['quiet', 'kube-system'],
      accounts: ['9*'],
    });
  });

  it('add the reference to a new pod with an ECR image', () => {
    const decision = decideOn(pod);
    assert.equal(decision.reason, 'ecr-image');
    assert.ok(decision.action === 'ensure' && decision.patch);
  });

  for (const changes of [
    { operation: 'UPDATE' },
    { operation: 'UPDATE', subResource: 'ephemeralcontainers' },
  ]) {
    it(`ensure the hosts of new images of a pod with the reference, without a patch (${JSON.stringify(changes)})`, () => {
      const decision = decideOn(
        {
          spec: {
            ...podWithReference.spec,
            ephemeralContainers: [{ image: `${host.replace('eu-central-1', 'us-east-1')}/debug` }],
          },
        },
        changes,
      );
      assert.ok(decision.action === 'ensure');
      assert.equal(decision.reason, 'new-image');
      assert.equal(decision.patch, undefined);
      assert.deepEqual(
        decision.registries.map(({ region }) => region),
        ['eu-central-1', 'us-east-1'],
      );
    });
  }
});

describe('decisions where a rule denies tokens', () => {
  const other = host.replace('eu-central-1', 'us-east-1');
  const denying = {
    ...rules,
    findDenyingRule: (namespace: string, registry: Registry) =>
      namespace === 'sandbox' && registry.region === 'us-east-1' ? 'registries[3]' : undefined,
  };
  const decideInSandbox = (images: readonly string[], changes: Record<string, unknown> = {}, spec = {}) => {
    const containers = images.map((image) => ({ image }));
    const review = parseReview(
      buildPodReview({ spec: { ...spec, containers } }, { namespace: 'sandbox', ...changes }),
    );
    assert.ok(!isInvalidReview(review));
    return decide(review, denying);
  };
  const denied = [{ host: other, rule: 'registries[3]' }];
  const imagePullSecrets = [{ name: 'ecr-pull-secrets' }];

  it('leave a pod unchanged if all of its registries are denied', () => {
    const expected = { action: 'warn', reason: 'denied-by-rule', denied };
    assert.deepEqual(decideInSandbox([`${other}/app`]), expected);
    assert.deepEqual(decideInSandbox([`${other}/app`], {}, { imagePullSecrets }), expected);
    assert.deepEqual(
      decideInSandbox([`${other}/app`], { operation: 'UPDATE' }, { imagePullSecrets }),
      expected,
    );
    const withoutReference = {
      operation: 'UPDATE',
      oldObject: { spec: { containers: [{ image: 'busybox' }] } },
    };
    assert.deepEqual(decideInSandbox([`${other}/app`], withoutReference), expected);
  });

  it('add the reference for the other registries, and name those that are denied', () => {
    const decision = decideInSandbox([`${other}/app`, `${host}/app`]);
    assert.ok(decision.action === 'ensure' && decision.patch);
    assert.deepEqual(
      decision.registries.map((registry) => registry.host),
      [host],
    );
    assert.deepEqual(decision.denied, denied);
  });

  it('are the same as before in other namespaces', () => {
    const decision = decideInSandbox([`${other}/app`], { namespace: 'team' });
    assert.ok(decision.action === 'ensure');
    assert.deepEqual(decision.denied, []);
  });
});

describe('an invalid review', () => {
  const review = buildPodReview(pod);
  const invalid: [string, unknown, string][] = [
    ['nothing', undefined, 'body'],
    ['a list', [], 'body'],
    ['another kind', { ...review, kind: 'Pod' }, 'body'],
    ['v1beta1', { ...review, apiVersion: 'admission.k8s.io/v1beta1' }, 'body'],
    ['no request', { ...review, request: undefined }, 'request'],
    ['no uid', buildPodReview(pod, { uid: '' }), 'request.uid'],
    ['no operation', buildPodReview(pod, { operation: 3 }), 'request.operation'],
    ['no resource', buildPodReview(pod, { resource: 'pods' }), 'request.resource'],
    ['no namespace', buildPodReview(pod, { namespace: '' }), 'request.namespace'],
  ];
  for (const [what, body, path] of invalid) {
    it(`is reported with the path of the problem: ${what}`, () => {
      const result = parseReview(body);
      assert.ok(isInvalidReview(result));
      assert.equal(result.path, path);
    });
  }
});
