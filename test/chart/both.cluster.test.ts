// Tests of the policy together with the webhook, which is the default where the API server offers the policy.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import pLimit from 'p-limit';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, mirrorPod, podWith } from '../support/pods.ts';
import type { RunningProgram } from '../support/program.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { describeChartOnCluster, itWithPolicy, offersPolicy } from './chart-suite.ts';
import { registry } from './install-modes.ts';
import { installWithLocalProgram } from './local-program.ts';
import { createRelease, type Release } from './release.ts';

const image = `${registry}/app:1`;
const annotated = (value: string) => podWith([image], {}, { 'ecr-pull-secrets.io/inject': value });

describeChartOnCluster('policy and webhook together', (cluster, helm) => {
  let ecr: EcrDouble;
  let release: Release;
  let program: RunningProgram;
  before(async () => {
    ecr = await startEcrDouble();
    release = await createRelease(cluster(), helm());
    program = await installWithLocalProgram(cluster(), release, ecr, {
      config: { exclude: { accounts: ['222222222222'], namespaces: ['lab-*'] } },
    });
  });
  after(async () => {
    await program?.stop();
    await release?.uninstall();
    await ecr.stop();
  });

  const create = async (namespace: string, pod = podWith([image])) => {
    const { status, body, pullSecrets } = await createPod(cluster(), namespace, pod);
    assert.equal(status, 201, JSON.stringify(body));
    return pullSecrets;
  };
  /** The outcome and reason with which the program recorded a review. */
  const reviewOf = async (namespace: string) => {
    const line = await eventually('the review is in the log', () =>
      program.log().find((entry) => entry['namespace'] === namespace && entry['outcome'] !== undefined),
    );
    return [line['outcome'], line['reason']];
  };

  itWithPolicy(cluster, 'the program finds the reference of the policy and stores the token', async () => {
    await eventually('the API server applies the policy', async () => {
      const namespace = await cluster().createNamespace();
      assert.deepEqual(await create(namespace), ['ecr-pull-secrets']);
      assert.ok((await readPullSecret(cluster(), namespace))?.auths[registry]);
      return (await reviewOf(namespace)).join() === 'unchanged,already-referenced';
    });
  });

  it('other references are kept, and ours is added once', async () => {
    const namespace = await cluster().createNamespace();
    const spec = { imagePullSecrets: [{ name: 'one' }, { name: 'two' }] };
    assert.deepEqual(await create(namespace, podWith([image], spec)), ['one', 'two', 'ecr-pull-secrets']);
  });

  it('the same pods are skipped', async () => {
    const namespace = await cluster().createNamespace();
    for (const pod of [podWith(['busybox']), annotated('false'), mirrorPod(image)]) {
      assert.deepEqual(await create(namespace, pod), []);
    }
    const excluded = image.replace(/^[0-9]{12}/, '222222222222');
    assert.deepEqual(await create(namespace, podWith([excluded])), []);
    assert.deepEqual(await create(namespace, annotated('true')), ['ecr-pull-secrets']);
    await cluster().request('POST', '/api/v1/namespaces', { metadata: { name: 'lab-1' } });
    assert.deepEqual(await create('lab-1'), []);
    const labels = { 'ecr-pull-secrets.io/inject': 'false' };
    await cluster().request('POST', '/api/v1/namespaces', { metadata: { name: 'opted-out', labels } });
    assert.deepEqual(await create('opted-out'), []);
  });

  it('a dry run adds the reference and stores nothing', async () => {
    const namespace = await cluster().createNamespace();
    const { pullSecrets } = await createPod(cluster(), namespace, podWith([image]), { dryRun: true });
    assert.deepEqual(pullSecrets, ['ecr-pull-secrets']);
    assert.equal(await readPullSecret(cluster(), namespace), undefined);
  });

  // The last test, because it stops the program.
  it('without any replica, pods of 20 existing and 20 new namespaces get the reference (Kubernetes 1.36 and later)', async () => {
    const limit = pLimit(10);
    const createNamespaces = () =>
      Promise.all(Array.from({ length: 20 }, () => limit(() => cluster().createNamespace())));
    const existing = await createNamespaces();
    await Promise.all(existing.map((namespace) => limit(() => create(namespace))));
    await program.stop();
    const created = await createNamespaces();
    const namespaces = [...existing, ...created].flatMap((namespace) => Array<string>(5).fill(namespace));
    const pods = await Promise.all(namespaces.map((namespace) => limit(() => create(namespace))));
    assert.equal(pods.length, 200);
    const expected = offersPolicy(cluster()) ? 'ecr-pull-secrets' : '';
    assert.deepEqual([...new Set(pods.map((pullSecrets) => pullSecrets.join()))], [expected]);
    for (const namespace of existing) {
      const secret = await readPullSecret(cluster(), namespace);
      assert.ok(secret?.auths[registry]?.auth, namespace);
      assert.ok(Date.parse(secret.hosts[registry]?.expiresAt ?? '') > Date.now(), namespace);
    }
    for (const namespace of created) {
      assert.equal(await readPullSecret(cluster(), namespace), undefined);
    }
  });
});

describeChartOnCluster('an upgrade to the default mode', (cluster, helm) => {
  const path = '/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/zz-ecr-pull-secrets';
  const exists = async () => (await cluster().request('GET', path)).status === 200;

  it('adds the policy if the API server offers it, and a rollback and an uninstallation remove it', async () => {
    const release = await createRelease(cluster(), helm());
    await release.install({ injection: 'webhook' });
    assert.equal(await exists(), false);
    await release.upgrade({}, ['--reset-values']);
    assert.equal(await exists(), offersPolicy(cluster()));
    await release.rollback(1);
    assert.equal(await exists(), false);
    await release.upgrade({}, ['--reset-values']);
    await release.uninstall();
    assert.equal(await exists(), false);
  });
});
