// Tests that the whole program retries refused writes of a pull Secret, although no second pod is created.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount, type RegisteredWebhook, registerWebhook } from '../support/installation.ts';
import { createPod, podWith } from '../support/pods.ts';
import { type RunningProgram, startProgram } from '../support/program.ts';
import { hostIn } from '../support/program-fixture.ts';
import { readPullSecret, secretPath } from '../support/pull-secret.ts';
import { writeFailureCases } from './write-failures.ts';

const [first, second] = [hostIn('eu-central-1'), hostIn('us-east-1')];

describeOnCluster('a pull Secret that cannot be written', (cluster) => {
  let ecr: EcrDouble;
  let program: RunningProgram;
  let webhook: RegisteredWebhook;
  before(async () => {
    ecr = await startEcrDouble();
    const kubeconfigPath = await installServiceAccount(cluster());
    program = await startProgram({ kubeconfigPath, environment: ecr.env() });
    webhook = await registerWebhook(cluster(), program);
  });
  after(async () => {
    await webhook.remove();
    await program.stop();
    await ecr.stop();
  });

  const failing = async (permanent: boolean) => {
    const text = await program.metrics();
    return Number(new RegExp(`failing_hosts\\{permanent="${permanent}"\\} (\\d+)`).exec(text)?.[1]);
  };
  const has = async (namespace: string, hosts: readonly string[]) => {
    const auths = (await readPullSecret(cluster(), namespace))?.auths ?? {};
    return hosts.every((host) => auths[host] !== undefined);
  };

  for (const { name, permanent, put } of writeFailureCases) {
    it(`is counted as failing and written once the obstacle is gone: ${name}`, async () => {
      const namespace = await webhook.createNamespace();
      const fix = await put(cluster(), namespace);
      const { pullSecrets, warnings } = await createPod(cluster(), namespace, podWith([`${first}/app`]));
      assert.deepEqual([pullSecrets, warnings.length], [['ecr-pull-secrets'], 1]);
      await eventually('it is counted', async () => (await failing(permanent)) === 1, 30_000);
      assert.equal(await has(namespace, [first]), false);
      await fix();
      await eventually('the Secret is complete', () => has(namespace, [first]), 60_000);
      await eventually('nothing fails', async () => (await failing(permanent)) === 0, 30_000);
    });
  }

  it('gets another host after writes were refused for a while', async () => {
    const namespace = await webhook.createNamespace();
    await createPod(cluster(), namespace, podWith([`${first}/app`]));
    await eventually('the first one is stored', () => has(namespace, [first]), 30_000);
    const before = await readPullSecret(cluster(), namespace);
    const [policyWebhook] = writeFailureCases;
    const fix = await policyWebhook?.put(cluster(), namespace);
    await createPod(cluster(), namespace, podWith([`${second}/app`]));
    await eventually('it is counted', async () => (await failing(false)) === 1, 30_000);
    await fix?.();
    await eventually('the Secret has both hosts', () => has(namespace, [first, second]), 60_000);
    assert.equal((await readPullSecret(cluster(), namespace))?.uid, before?.uid);
  });

  it('is forgotten with its namespace', async () => {
    const namespace = await webhook.createNamespace();
    const unmanaged = writeFailureCases.find(({ name }) => name === 'an unmanaged Secret');
    await unmanaged?.put(cluster(), namespace);
    await createPod(cluster(), namespace, podWith([`${first}/app`]));
    await eventually('it is counted', async () => (await failing(true)) === 1, 30_000);
    await cluster().request('DELETE', `/api/v1/namespaces/${namespace}`);
    // no namespace controller runs here
    await cluster().request('DELETE', secretPath(namespace));
    await eventually('nothing fails', async () => (await failing(true)) === 0, 60_000);
  });
});
