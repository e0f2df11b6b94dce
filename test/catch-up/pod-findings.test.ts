// Tests what is found about single pending pods.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { examinePod, type PodFinding } from '../../src/catch-up/pod-findings.ts';
import { damaged } from '../support/untrusted-json.ts';
import { host, ownedBy, type PodOptions, pendingPod, rules, start } from './catch-up-fixture.ts';

const other = host.replace('eu-central-1', 'us-east-1');
const stored = new Set<string>();
const podRules = {
  ...rules,
  lacksToken: (_: string, registry: { host: string }) => !stored.has(registry.host),
};
const examine = (options: PodOptions, namespace = 'shop') =>
  examinePod(pendingPod(namespace, 'cart', options), podRules);

function describeFinding(finding: PodFinding | undefined): string {
  if (finding === undefined) {
    return 'nothing';
  }
  return finding.kind === 'needs-tokens'
    ? `tokens of ${finding.registries.map((one) => one.host).join(', ')}`
    : 'no reference';
}

describe('what is found about a pending pod', () => {
  const annotated = (name: string, value: string) => ({ metadata: { annotations: { [name]: value } } });
  const cases: [string, PodOptions, string, string?][] = [
    ['with the reference, and without a token', { hasReference: true }, `tokens of ${host}`],
    ['with the reference, of an excluded namespace', { hasReference: true }, 'nothing', 'kube-system'],
    ['without a reference', {}, 'no reference'],
    ['without an ECR image', { images: ['busybox'] }, 'nothing'],
    ['without a reference, in an excluded namespace', {}, 'nothing', 'kube-system'],
    ['of an excluded account', { images: [host.replace('1234', '9234')] }, 'nothing'],
    ['that opted out', annotated('ecr-pull-secrets.io/inject', 'false'), 'nothing'],
    ['that is a mirror pod', annotated('kubernetes.io/config.mirror', 'x'), 'nothing'],
    ['that is being deleted', { metadata: { deletionTimestamp: '2026-11-23T12:00:00Z' } }, 'nothing'],
  ];
  for (const [name, options, expected, namespace] of cases) {
    it(`${name}: ${expected}`, () => {
      assert.equal(describeFinding(examine(options, namespace)), expected);
    });
  }

  it('is no certain finding while it is not known whether a rule denies all of its registries', () => {
    const undecided = { ...podRules, isUndecided: (_: string, one: { host: string }) => one.host === host };
    const find = (options: PodOptions) => examinePod(pendingPod('shop', 'cart', options), undecided);
    const isCertain = (options: PodOptions) => {
      const finding = find(options);
      assert.ok(finding?.kind === 'uninjected');
      return finding.isCertain;
    };
    assert.equal(isCertain({}), false);
    assert.equal(isCertain({ images: [`${host}/a`, `${other}/b`] }), true);
    assert.equal(describeFinding(find({ hasReference: true })), `tokens of ${host}`);
  });

  it('does not include hosts whose token is stored', () => {
    const images = [`${host}/a`, `${other}/b`];
    stored.add(host);
    assert.equal(describeFinding(examine({ images, hasReference: true })), `tokens of ${other}`);
    stored.add(other);
    assert.equal(describeFinding(examine({ images, hasReference: true })), 'nothing');
    stored.clear();
  });

  it('includes version, age, hosts and controller of a pod without a reference', () => {
    const images = ['a', 'b', 'c', 'd', 'e'].map(
      (zone) => `${host.replace('eu-central-1', `eu-${zone}a-1`)}/app`,
    );
    const owners = [
      { kind: 'ConfigMap', name: 'x', uid: 'y' },
      ...(ownedBy('ReplicaSet', 'cart')['ownerReferences'] as []),
    ];
    const finding = examine({ images, createdAt: start, metadata: { ownerReferences: owners } });
    assert.deepEqual(finding?.kind === 'uninjected' && finding.pod, {
      ...{ namespace: 'shop', name: 'cart', uid: 'uid-cart', resourceVersion: '1', createdAt: start },
      hosts: images.slice(0, 3).map((image) => image.replace('/app', '')),
      moreHosts: 2,
      controller: { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'cart', uid: 'uid-cart' },
      isStuck: true,
    });
  });
});

describe('the controller of a pod', () => {
  for (const field of ['apiVersion', 'kind', 'name', 'uid']) {
    it(`is not kept if its ${field} is longer than that of any object, so that pods cannot fill the memory`, () => {
      const [owner] = ownedBy('ReplicaSet', 'cart')['ownerReferences'] as [object];
      const controllerOf = (length: number) => {
        const finding = examine({
          metadata: { ownerReferences: [{ ...owner, [field]: 'x'.repeat(length) }] },
        });
        return finding?.kind === 'uninjected' ? finding.pod.controller : undefined;
      };
      assert.ok(controllerOf(253));
      assert.equal(controllerOf(254), undefined);
    });
  }
});

describe('whether a pod never ran and cannot pull', () => {
  const waiting = (reason: string) => ({ state: { waiting: { reason } }, restartCount: 0, started: false });
  const cases: [string, Record<string, unknown>, boolean][] = [
    ['without a status of a container', {}, true],
    ['with an image that cannot be pulled', { containerStatuses: [waiting('ErrImagePull')] }, true],
    ['that backs off', { containerStatuses: [waiting('ImagePullBackOff')] }, true],
    ['that is still pulling', { containerStatuses: [waiting('ContainerCreating')] }, false],
    [
      'whose init container cannot be pulled',
      {
        initContainerStatuses: [waiting('ImagePullBackOff')],
        containerStatuses: [waiting('PodInitializing')],
      },
      true,
    ],
    [
      'with a running container',
      { containerStatuses: [waiting('ErrImagePull'), { state: { running: {} }, started: true }] },
      false,
    ],
    [
      'whose init container has terminated',
      {
        initContainerStatuses: [{ state: { terminated: { exitCode: 0 } } }],
        containerStatuses: [waiting('ErrImagePull')],
      },
      false,
    ],
    [
      'with a container that ran before',
      { containerStatuses: [{ ...waiting('ErrImagePull'), lastState: { terminated: {} } }] },
      false,
    ],
    [
      'with a container that was restarted',
      { containerStatuses: [{ ...waiting('ErrImagePull'), restartCount: 1 }] },
      false,
    ],
    [
      'with a running ephemeral container',
      { ephemeralContainerStatuses: [{ state: { running: {} } }] },
      false,
    ],
  ];
  for (const [name, status, expected] of cases) {
    it(`a pod ${name}: ${expected}`, () => {
      const finding = examine({ status });
      assert.equal(finding?.kind === 'uninjected' && finding.pod.isStuck, expected);
    });
  }
});

describe('a pending pod with any content', () => {
  it('is examined without a throw', () => {
    const statuses = [{ state: { waiting: { reason: 'ErrImagePull' } }, restartCount: 0 }];
    const pod = pendingPod('shop', 'cart', {
      metadata: ownedBy('ReplicaSet', 'cart'),
      status: { containerStatuses: statuses },
    });
    fc.assert(
      fc.property(damaged(pod), (value) => {
        const finding = examinePod(value, podRules);
        assert.ok(finding === undefined || JSON.stringify(finding).length > 0);
      }),
      { numRuns: 1_000 },
    );
  });
});
