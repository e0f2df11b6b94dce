// Tests how the program reports a full pull Secret, and that it stores the token when there is room.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { getField, getItems } from '../../src/util/json.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount, type RegisteredWebhook, registerWebhook } from '../support/installation.ts';
import { createPod, podWith } from '../support/pods.ts';
import { type RunningProgram, startProgram } from '../support/program.ts';
import { readPullSecret } from '../support/pull-secret.ts';

const hostOf = (account: number) => `${String(account).padStart(12, '0')}.dkr.ecr.eu-central-1.amazonaws.com`;
const real = hostOf(123_456_789_012);

describeOnCluster('a running program with a full pull Secret', (cluster: () => Cluster) => {
  let ecr: EcrDouble;
  let program: RunningProgram;
  let webhook: RegisteredWebhook;
  before(async () => {
    ecr = await startEcrDouble();
    const kubeconfigPath = await installServiceAccount(cluster());
    const config = { secrets: { maxHosts: 20 } };
    program = await startProgram({ kubeconfigPath, environment: ecr.env(), config });
    webhook = await registerWebhook(cluster(), program);
  });
  after(async () => {
    await webhook?.remove();
    await program?.stop();
    await ecr.stop();
  });

  it('reports that in warning, log, Event and metric, and stores the token of the pod once there is room', async () => {
    const namespace = await webhook.createNamespace();
    const attacker = podWith(Array.from({ length: 20 }, (_, index) => `${hostOf(index + 1)}/x`));
    assert.deepEqual((await createPod(cluster(), namespace, attacker)).warnings, []);
    const honest = await createPod(cluster(), namespace, podWith([`${real}/app`]));
    assert.deepEqual([honest.status, honest.pullSecrets], [201, ['ecr-pull-secrets']]);
    assert.match(honest.warnings.join(), new RegExp(`no pull token for ${real}: .*pull Secret is full`));
    await eventually('the metric reports it', async () =>
      /^ecr_pull_secrets_full_secrets 1$/m.test(await program.metrics()),
    );
    await eventually(
      'log and Event report it',
      async () => {
        const { body } = await cluster().request('GET', `/api/v1/namespaces/${namespace}/events`);
        const reasons = getItems(getField(body, 'items')).map((event) => getField(event, 'reason'));
        const logged = program
          .log()
          .some(({ msg, namespace: of }) => msg === 'pull Secret is full' && of === namespace);
        return logged && reasons.includes('PullSecretFull');
      },
      30_000,
    );
    const path = `/api/v1/namespaces/${namespace}/pods/${attacker.metadata.name}?gracePeriodSeconds=0`;
    assert.equal((await cluster().request('DELETE', path)).status, 200);
    await eventually(
      'the token is stored without another pod',
      async () => (await readPullSecret(cluster(), namespace))?.auths[real] !== undefined,
      120_000,
    );
    const metrics = await program.metrics();
    assert.match(metrics, /^ecr_pull_secrets_hosts_dropped_total\{reason="secret-full"\} 1$/m);
    await eventually('no Secret is full any more', async () =>
      /^ecr_pull_secrets_full_secrets 0$/m.test(await program.metrics()),
    );
  });
});
