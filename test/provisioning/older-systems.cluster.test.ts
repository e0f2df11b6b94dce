// Tests provisioning in place of a CronJob or controller, without the webhook.
import assert from 'node:assert/strict';
import { after, afterEach, before, it } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { runOnce } from '../commands/run-command.ts';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, podWith } from '../support/pods.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import {
  createAccountWithRules,
  createLabelledNamespace,
  createServiceAccount,
  expectCreated,
  provisioningRules,
  type RunningProvisioning,
  readServiceAccount,
  runProvisioning,
  secretsRule,
  startEcr,
} from './provisioning-fixture.ts';

const pullSecretName = 'ecr-pull-secrets';
const hosts = ['123456789012', '210987654321'].flatMap((account) =>
  ['eu-central-1', 'us-east-1'].map((region) => `${account}.dkr.ecr.${region}.amazonaws.com`),
);

/** Creates a quota of no Secrets. Its status is written here, because no quota controller runs. */
async function forbidSecrets(
  cluster: Parameters<typeof createLabelledNamespace>[0],
  namespace: string,
): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}/resourcequotas`;
  const hard = { 'count/secrets': '0' };
  await expectCreated(cluster, path, { metadata: { name: 'none' }, spec: { hard } });
  const { body } = await cluster.request('GET', `${path}/none`);
  const status = { hard, used: { 'count/secrets': '0' } };
  await cluster.request('PUT', `${path}/none/status`, { ...Object(body), status });
}

describeOnCluster(
  'provisioning in place of older systems, without the webhook',
  (cluster) => {
    let ecr: EcrDouble;
    let kubeconfigPath: string;
    let provisioning: RunningProvisioning | undefined;
    before(async () => {
      ecr = await startEcr();
      kubeconfigPath = await createAccountWithRules(cluster(), [secretsRule, ...provisioningRules]);
    });
    after(() => ecr.stop());
    afterEach(async () => await provisioning?.stop());
    const start = async (team: string) => {
      const settings = { registries: hosts, namespaces: { selector: `team=${team}` } };
      provisioning = await runProvisioning({
        apiServer: cluster(),
        ecr,
        config: { provisioning: settings },
        kubeconfigPath,
      });
      return provisioning;
    };

    it('gives a pod of a new namespace the reference of its ServiceAccount, and tokens of all regions and accounts', async () => {
      await start('credentials');
      const startedAt = Date.now();
      const namespace = await createLabelledNamespace(cluster(), { team: 'credentials' });
      // as the ServiceAccount controller does in every new namespace
      await createServiceAccount(cluster(), namespace);
      await eventually('the ServiceAccount references the Secret', async () =>
        (await readServiceAccount(cluster(), namespace)).pullSecrets?.includes(pullSecretName),
      );
      const secret = await eventually('the Secret exists', () => readPullSecret(cluster(), namespace));
      const durationMs = Date.now() - startedAt;
      const pod = await createPod(cluster(), namespace, podWith([`${hosts[0]}/app:1`]));
      assert.deepEqual([pod.status, pod.pullSecrets], [201, [pullSecretName]]);
      assert.deepEqual(Object.keys(secret.auths).toSorted(), hosts.toSorted());
      for (const host of hosts) {
        assert.ok(ecr.isUnexpired(atob(secret.auths[host]?.auth ?? '').slice(4)), host);
      }
      assert.equal(ecr.callsOf('GetAuthorizationToken').length, 2, 'one for each region');
      // the documentation promises one second; the rest allows for a busy machine
      assert.ok(durationMs < 3_000, `everything exists after ${durationMs} ms`);
    });

    it('continues in other namespaces while a quota forbids a Secret, and retries until it is allowed', async () => {
      const [full, free] = [
        await createLabelledNamespace(cluster(), { team: 'quota' }),
        await createLabelledNamespace(cluster(), { team: 'quota' }),
      ];
      for (const namespace of [full, free]) {
        await createServiceAccount(cluster(), namespace);
      }
      await forbidSecrets(cluster(), full);
      await eventually('the quota is effective', async () => {
        const path = `/api/v1/namespaces/${full}/secrets`;
        return (await cluster().request('POST', path, { metadata: { name: 'x' } })).status === 403;
      });
      const { log } = await start('quota');
      await eventually('the other has its Secret', () => readPullSecret(cluster(), free));
      const warnings = () =>
        log.filter(({ namespace, action }) => namespace === full && action === 'ensure-secret');
      await eventually('several attempts', () => warnings().length > 1);
      const retryDelays = warnings().map(({ retryInMs }) => retryInMs);
      assert.deepEqual(retryDelays.slice(0, 2), [500, 1_000]);
      assert.ok(
        (await readServiceAccount(cluster(), full)).pullSecrets?.includes(pullSecretName),
        'the reference exists',
      );
      await cluster().request('DELETE', `/api/v1/namespaces/${full}/resourcequotas/none`);
      await eventually('the Secret is created once the quota is gone', () => readPullSecret(cluster(), full));
    });

    it('names the quota when it makes a sync fail', async () => {
      const namespace = await createLabelledNamespace(cluster(), {});
      await createServiceAccount(cluster(), namespace);
      await forbidSecrets(cluster(), namespace);
      const args = ['sync', '--namespace', namespace, '--registry', hosts[0] ?? ''];
      const { code, stdout } = await runOnce(args, cluster().kubeconfigPath);
      assert.equal(code, 1);
      assert.match(stdout, new RegExp(`${namespace} +${hosts[0]} +cannot apply Secret .*exceeded quota`));
    });
  },
  { ownApiServer: true, serviceAccountAdmission: true },
);
