import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/double.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, podWith } from '../support/pods.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { startBeside } from './beside.ts';
import { minorOf, registry } from './modes.ts';
import { at } from './objects.ts';
import { mirrorPod, restrictedPod } from './pods.ts';
import { newRelease, type Release } from './release.ts';
import { describeChartOnCluster } from './suite.ts';

const image = `${registry}/app:1`;

describeChartOnCluster('injection by the API server itself, no program running', (cluster, helm) => {
  let release: Release;
  const test = (name: string, body: () => Promise<void>) =>
    it(name, async (t) => {
      if (minorOf(cluster().version) >= 36) await body();
      else t.skip('MutatingAdmissionPolicy is there from Kubernetes 1.36 on');
    });
  before(async () => {
    if (minorOf(cluster().version) < 36) return;
    release = await newRelease(cluster(), helm());
    await release.install({
      injection: 'policy',
      config: { provisioning: { registries: [registry] } },
      namespaces: { exclude: ['left-alone'] },
      certificates: { mode: 'existingSecret', secretName: 'own' },
    });
    const namespace = await cluster().createNamespace();
    await eventually('the API server goes by the policy', async () => {
      return (await createPod(cluster(), namespace, podWith([image]))).pullSecrets.length > 0;
    });
  });
  after(() => release?.uninstall());

  const create = async (pod = podWith([image]), namespace?: string) => {
    const where = namespace ?? (await cluster().createNamespace());
    const { status, body, pullSecrets } = await createPod(cluster(), where, pod);
    assert.equal(status, 201, JSON.stringify(body));
    return pullSecrets;
  };

  test('gives a pod without pull secrets the reference', async () => {
    assert.deepEqual(await create(), ['ecr-pull-secrets']);
    assert.deepEqual(await create(podWith([image], { imagePullSecrets: [] })), ['ecr-pull-secrets']);
  });

  test('appends it to those that a pod has, once', async () => {
    const others = [{ name: 'one' }, { name: 'two' }];
    assert.deepEqual(await create(podWith([image], { imagePullSecrets: others })), [
      'one',
      'two',
      'ecr-pull-secrets',
    ]);
    const own = [{ name: 'ecr-pull-secrets' }, { name: 'one' }];
    assert.deepEqual(await create(podWith([image], { imagePullSecrets: own })), ['ecr-pull-secrets', 'one']);
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

  test('leaves others alone: no ECR image, opted out, mirror pods, namespaces that are left out', async () => {
    assert.deepEqual(await create(podWith(['busybox', `example.com/${registry}/app`])), []);
    assert.deepEqual(await create(podWith([image], {}, { 'ecr-pull-secrets.io/inject': 'false' })), []);
    assert.deepEqual(await create(mirrorPod(image)), []);
    await cluster().request('POST', '/api/v1/namespaces', { metadata: { name: 'left-alone' } });
    for (const namespace of [release.namespace, 'left-alone', 'kube-system']) {
      assert.deepEqual(await create(restrictedPod(image), namespace), []);
    }
  });

  test('takes a large pod', async () => {
    const many = Array.from({ length: 100 }, () => `${'registry.example/'.padEnd(200, 'a')}:1`);
    assert.deepEqual(await create(podWith([...many, image])), ['ecr-pull-secrets']);
  });

  test('finds the Secret there, which the program has made ahead, with no right to see ServiceAccounts', async () => {
    const ecr: EcrDouble = await startEcrDouble();
    const program = await startBeside(release, ecr);
    try {
      const namespace = await cluster().createNamespace();
      await eventually('the Secret is there before any pod', async () => {
        return (await readPullSecret(cluster(), namespace))?.auths[registry] !== undefined;
      });
      const refused = program
        .log()
        .filter(({ level, err }) => level !== 'debug' && at(err, 'code') === 'forbidden');
      assert.deepEqual(refused, []);
    } finally {
      await program.stop();
      await ecr.stop();
    }
  });
});
