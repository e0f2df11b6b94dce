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

/** No Secret may be made in the namespace. Without a controller its status has to be filled in by hand. */
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
  'what older systems did, without a webhook',
  (cluster) => {
    let ecr: EcrDouble;
    let kubeconfigPath: string;
    let running: RunningProvisioning | undefined;
    before(async () => {
      ecr = await startEcr();
      kubeconfigPath = await createAccountWithRules(cluster(), [secretsRule, ...provisioningRules]);
    });
    after(() => ecr.stop());
    afterEach(async () => await running?.stop());
    const start = async (team: string) => {
      const provisioning = { registries: hosts, namespaces: { selector: `team=${team}` } };
      running = await runProvisioning({
        apiServer: cluster(),
        ecr,
        config: { provisioning },
        kubeconfigPath,
      });
      return running;
    };

    it('gives a pod of a new namespace the reference from its account, and tokens of all regions and accounts', async () => {
      await start('credentials');
      const began = Date.now();
      const namespace = await createLabelledNamespace(cluster(), { team: 'credentials' });
      // as the controller does it for every new namespace
      await createServiceAccount(cluster(), namespace);
      await eventually('the account refers to the Secret', async () =>
        (await readServiceAccount(cluster(), namespace)).pullSecrets?.includes(pullSecretName),
      );
      const secret = await eventually('the Secret is there', () => readPullSecret(cluster(), namespace));
      const took = Date.now() - began;
      const pod = await createPod(cluster(), namespace, podWith([`${hosts[0]}/app:1`]));
      assert.deepEqual([pod.status, pod.pullSecrets], [201, [pullSecretName]]);
      assert.deepEqual(Object.keys(secret.auths).toSorted(), hosts.toSorted());
      for (const host of hosts) {
        assert.ok(ecr.isUnexpired(atob(secret.auths[host]?.auth ?? '').slice(4)), host);
      }
      assert.equal(ecr.callsOf('GetAuthorizationToken').length, 2, 'one for each region');
      // a second is promised; the rest is for a machine that runs other suites meanwhile
      assert.ok(took < 3_000, `everything is there after ${took} ms`);
    });

    it('goes on elsewhere while one namespace may have no Secret, tries that again, and gets it in the end', async () => {
      const [full, free] = [
        await createLabelledNamespace(cluster(), { team: 'quota' }),
        await createLabelledNamespace(cluster(), { team: 'quota' }),
      ];
      for (const namespace of [full, free]) await createServiceAccount(cluster(), namespace);
      await forbidSecrets(cluster(), full);
      await eventually('the quota counts', async () => {
        const path = `/api/v1/namespaces/${full}/secrets`;
        return (await cluster().request('POST', path, { metadata: { name: 'x' } })).status === 403;
      });
      const { log } = await start('quota');
      await eventually('the other has its Secret', () => readPullSecret(cluster(), free));
      const told = () => log.filter(({ namespace, action }) => namespace === full && action === 'ensure');
      await eventually('several tries', () => told().length > 1);
      const waits = told().map(({ retryInMs }) => retryInMs);
      assert.deepEqual(waits.slice(0, 2), [500, 1_000]);
      assert.ok(
        (await readServiceAccount(cluster(), full)).pullSecrets?.includes(pullSecretName),
        'the reference is there',
      );
      await cluster().request('DELETE', `/api/v1/namespaces/${full}/resourcequotas/none`);
      await eventually('the Secret comes once it may', () => readPullSecret(cluster(), full), 20_000);
    });

    it('tells of the quota when a sync fails by it', async () => {
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
