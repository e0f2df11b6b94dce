// Tests of `injection: policy` (MutatingAdmissionPolicy) on a real API server.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe } from 'node:test';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, mirrorPod, podWith, restrictedPod, windowsPod } from '../support/pods.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { describeChartOnCluster, itWithPolicy, offersPolicy } from './chart-suite.ts';
import { registry } from './install-modes.ts';
import { getImages, LateWebhooks } from './late-webhooks.ts';
import { startLocalProgram } from './local-program.ts';
import { createRelease, type Release } from './release.ts';
import { getValueAt } from './rendered-objects.ts';

const image = `${registry}/app:1`;

describeChartOnCluster('injection by the API server, without a running program', (cluster, helm) => {
  let release: Release;
  const test = (name: string, body: () => Promise<void>) => itWithPolicy(cluster, name, body);
  before(async () => {
    if (!offersPolicy(cluster())) {
      return;
    }
    release = await createRelease(cluster(), helm());
    await release.install({
      injection: 'policy',
      webhook: { failurePolicy: 'Fail' }, // so that an error in the expression fails the test
      config: {
        provisioning: { registries: [registry] },
        exclude: { namespaces: ['lab-*'], accounts: ['222222222222', '3*'] },
      },
      namespaces: { exclude: ['excluded'] },
      certificates: { mode: 'existingSecret', secretName: 'own' },
    });
    const namespace = await cluster().createNamespace();
    await eventually(
      'the API server applies the policy',
      async () => {
        return (await createPod(cluster(), namespace, podWith([image]))).pullSecrets.length > 0;
      },
      60_000,
    );
  });
  after(() => release?.uninstall());

  const create = async (pod = podWith([image]), namespace?: string) => {
    const where = namespace ?? (await cluster().createNamespace());
    const { status, body, pullSecrets } = await createPod(cluster(), where, pod);
    assert.equal(status, 201, JSON.stringify(body));
    return pullSecrets;
  };

  test('adds the reference to a pod without pull Secrets', async () => {
    assert.deepEqual(await create(), ['ecr-pull-secrets']);
    assert.deepEqual(await create(podWith([image], { imagePullSecrets: [] })), ['ecr-pull-secrets']);
  });

  test('does not hide the validation error of a pod without containers', async () => {
    const namespace = await cluster().createNamespace();
    for (const containers of [undefined, null]) {
      const pod = podWith([]);
      const path = `/api/v1/namespaces/${namespace}/pods`;
      const { status, body } = await cluster().request('POST', path, { ...pod, spec: { containers } });
      assert.deepEqual([status, getValueAt(body, 'details.causes.0.field')], [422, 'spec.containers']);
    }
  });

  test('appends the reference to existing ones, once', async () => {
    const others = [{ name: 'one' }, { name: 'two' }];
    assert.deepEqual(await create(podWith([image], { imagePullSecrets: others })), [
      'one',
      'two',
      'ecr-pull-secrets',
    ]);
    const own = [{ name: 'ecr-pull-secrets' }, { name: 'one' }];
    assert.deepEqual(await create(podWith([image], { imagePullSecrets: own })), ['ecr-pull-secrets', 'one']);
  });

  test('adds the reference to a pod for Windows nodes', async () => {
    assert.deepEqual(await create(windowsPod(image)), ['ecr-pull-secrets']);
  });

  test('finds the images of init containers and of image volumes', async () => {
    const initContainers = [{ name: 'init', image }];
    assert.deepEqual(await create(podWith(['busybox'], { initContainers })), ['ecr-pull-secrets']);
    const volumes = [
      { name: 'empty', emptyDir: {} },
      { name: 'model', image: { reference: image } },
    ];
    assert.deepEqual(await create(podWith(['busybox'], { volumes })), ['ecr-pull-secrets']);
  });

  test('skips pods without ECR images, pods that opted out, mirror pods and excluded namespaces', async () => {
    assert.deepEqual(await create(podWith(['busybox', `example.com/${registry}/app`])), []);
    assert.deepEqual(await create(podWith([image], {}, { 'ecr-pull-secrets.io/inject': 'false' })), []);
    assert.deepEqual(await create(mirrorPod(image)), []);
    await cluster().request('POST', '/api/v1/namespaces', { metadata: { name: 'excluded' } });
    for (const namespace of [release.namespace, 'excluded', 'kube-system']) {
      assert.deepEqual(await create(restrictedPod(image), namespace), []);
    }
  });

  test('skips namespaces that a pattern excludes, and images of excluded accounts only', async () => {
    await cluster().request('POST', '/api/v1/namespaces', { metadata: { name: 'lab-7' } });
    assert.deepEqual(await create(podWith([image]), 'lab-7'), []);
    const of = (account: string) => image.replace(/^[0-9]{12}/, account);
    assert.deepEqual(await create(podWith([of('222222222222'), of('333333333333')])), []);
    assert.deepEqual(await create(podWith([of('222222222222'), image])), ['ecr-pull-secrets']);
    assert.deepEqual(await create(podWith([of('222222222223')])), ['ecr-pull-secrets']);
  });

  describe('with webhooks that change pods after the policy has run', () => {
    let webhooks: LateWebhooks;
    before(() => {
      webhooks = new LateWebhooks(cluster());
    });
    afterEach(() => webhooks.removeAll());
    test('evaluates the opt-out after other webhooks changed it', async () => {
      const inject = 'ecr-pull-secrets.io/inject';
      const path = `/metadata/annotations/${inject.replace('/', '~1')}`;
      await webhooks.register('opts-in', 'Never', () => [{ op: 'add', path, value: 'true' }]);
      const pullSecrets = await webhooks.create(
        () => podWith([image], {}, { [inject]: 'false' }),
        (pod) => getValueAt(pod, 'metadata.annotations')[inject] === 'true',
      );
      assert.deepEqual(pullSecrets, ['ecr-pull-secrets']);
    });

    test('adds no second reference if a webhook added one', async () => {
      const value = [{ name: 'other' }, { name: 'ecr-pull-secrets' }];
      await webhooks.register('adds-the-reference', 'Never', () => [
        { op: 'add', path: '/spec/imagePullSecrets', value },
        { op: 'replace', path: '/spec/containers/0/image', value: image },
      ]);
      const pullSecrets = await webhooks.create(
        () => podWith(['busybox']),
        (pod) => getImages(pod).includes(image),
      );
      assert.deepEqual(pullSecrets, ['other', 'ecr-pull-secrets']);
    });
  });

  test('handles a large pod within the cost limit of the API server, with and without an ECR image', async () => {
    const many = Array.from({ length: 500 }, () => `${'registry.example/'.padEnd(200, 'a')}:1`);
    assert.deepEqual(await create(podWith([...many, image])), ['ecr-pull-secrets']);
    assert.deepEqual(await create(podWith(many)), []);
  });

  test('works with the Secrets that the program provisions without access to ServiceAccounts', async () => {
    const ecr: EcrDouble = await startEcrDouble();
    const program = await startLocalProgram(release, ecr);
    try {
      const namespace = await cluster().createNamespace();
      await eventually(
        'the Secret exists before any pod',
        async () => {
          return (await readPullSecret(cluster(), namespace))?.auths[registry] !== undefined;
        },
        60_000,
      );
      const refused = program
        .log()
        .filter(({ level, err }) => level !== 'debug' && getValueAt(err, 'code') === 'forbidden');
      assert.deepEqual(refused, []);
    } finally {
      await program.stop();
      await ecr.stop();
    }
  });
});
