// Tests that a restart does not forget hosts that could not be stored, on a real API server.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { writeFailureCases } from '../renewal/write-failures.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount, type RegisteredWebhook, registerWebhook } from '../support/installation.ts';
import { createPod, podWith } from '../support/pods.ts';
import { type RunningProgram, startProgram } from '../support/program.ts';
import { hostIn } from '../support/program-fixture.ts';
import { readPullSecret } from '../support/pull-secret.ts';

const host = hostIn('eu-central-1');

describeOnCluster('a restart while a namespace refuses its pull Secret', (cluster) => {
  let ecr: EcrDouble;
  let kubeconfigPath: string;
  let program: RunningProgram;
  let webhook: RegisteredWebhook | undefined;
  before(async () => {
    ecr = await startEcrDouble();
    kubeconfigPath = await installServiceAccount(cluster());
  });
  after(async () => {
    await webhook?.remove();
    await program?.stop();
    await ecr.stop();
  });
  const start = async () => {
    program = await startProgram({ kubeconfigPath, environment: ecr.env() });
  };
  const countFailing = async () => {
    const counts = (await program.metrics()).matchAll(/^ecr_pull_secrets_failing_hosts\{.*\} (\d+)$/gm);
    return [...counts].reduce((sum, [, count]) => sum + Number(count), 0);
  };

  it('keeps the hosts of pending pods: they count as failing, and are stored after the fix', async () => {
    await start();
    webhook = await registerWebhook(cluster(), program);
    const namespace = await webhook.createNamespace();
    const quota = writeFailureCases.find(({ name }) => name === 'a quota of no Secrets');
    const fix = await quota?.put(cluster(), namespace);
    const { pullSecrets, warnings } = await createPod(cluster(), namespace, podWith([`${host}/app:1`]));
    assert.deepEqual([pullSecrets, warnings.length], [['ecr-pull-secrets'], 1]);
    await program.stop();
    await start();
    await eventually('the host counts as failing', async () => (await countFailing()) === 1, 60_000);
    await fix?.();
    await eventually(
      'the token is stored, without another pod',
      async () => (await readPullSecret(cluster(), namespace))?.auths[host] !== undefined,
      120_000,
    );
  });
});
