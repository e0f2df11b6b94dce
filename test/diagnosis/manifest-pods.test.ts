// Tests which pods are found in the objects of a manifest.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findManifestPods } from '../../src/diagnosis/manifest-pods.ts';

const spec = { containers: [{ name: 'app', image: 'x' }] };
const metadata = { name: 'cart' };

describe('the pods of a manifest', () => {
  const kindsOf = (documents: readonly unknown[]) =>
    findManifestPods(documents).pods.map(({ kind, name, namespace }) => [kind, name, namespace]);

  it('are those of pods and of every workload with a template, also of custom resources', () => {
    const template = { spec };
    const documents = [
      { kind: 'Pod', metadata: { ...metadata, namespace: 'shop' }, spec },
      ...[
        'Deployment',
        'StatefulSet',
        'DaemonSet',
        'ReplicaSet',
        'Job',
        'ReplicationController',
        'Rollout',
      ].map((kind) => ({ kind, metadata, spec: { template } })),
      { kind: 'CronJob', metadata, spec: { jobTemplate: { spec: { template } } } },
      { kind: 'PodTemplate', metadata, template },
    ];
    assert.deepEqual(
      kindsOf(documents),
      documents.map(({ kind }, index) => [kind, 'cart', index === 0 ? 'shop' : undefined]),
    );
  });

  it('are found in lists, in order, and other objects are named', () => {
    const service = { kind: 'Service', metadata, spec: {} };
    const list = { kind: 'List', items: [{ kind: 'Pod', metadata, spec }, service] };
    const content = findManifestPods([
      list,
      null,
      { kind: 'Job', metadata: {}, spec: { template: { spec } } },
    ]);
    assert.deepEqual(
      content.pods.map(({ kind, name }) => [kind, name]),
      [
        ['Pod', 'cart'],
        ['Job', '(no name)'],
      ],
    );
    assert.deepEqual(content.others, ['Service/cart']);
  });

  it('are bounded, whatever the documents contain', () => {
    let nested: unknown = { kind: 'Pod', metadata, spec };
    for (let depth = 0; depth < 20_000; depth += 1) {
      nested = { items: [nested, 'x'] };
    }
    assert.deepEqual(kindsOf([nested]), []);
    assert.deepEqual(kindsOf(['x', 7, [], {}, { spec: { template: { spec: { containers: 'x' } } } }]), []);
  });
});
