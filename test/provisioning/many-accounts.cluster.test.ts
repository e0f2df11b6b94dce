// Tests the watches of ServiceAccounts when many names are configured.
import assert from 'node:assert/strict';
import { after, afterEach, before, it } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import {
  allAccountsRule,
  createAccountWithRules,
  createLabelledNamespace,
  createServiceAccount,
  type RunningProvisioning,
  readServiceAccount,
  runProvisioning,
  secretsRule,
  startEcr,
} from './provisioning-fixture.ts';

const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const names = Array.from({ length: 20 }, (_, index) => `account-${index}`);
const namespacesRule = { apiGroups: [''], resources: ['namespaces'], verbs: ['list', 'watch'] };
const byName = {
  ...{ apiGroups: [''], resources: ['serviceaccounts'], resourceNames: names },
  verbs: ['get', 'list', 'watch', 'patch'],
};

describeOnCluster('provisioning with many named ServiceAccounts', (cluster) => {
  let ecr: EcrDouble;
  let provisioning: RunningProvisioning | undefined;
  before(async () => {
    ecr = await startEcr();
  });
  afterEach(() => provisioning?.stop());
  after(() => ecr.stop());

  const start = async (team: string, rules: readonly unknown[]): Promise<RunningProvisioning> => {
    provisioning = await runProvisioning({
      apiServer: cluster(),
      ecr,
      kubeconfigPath: await createAccountWithRules(cluster(), [secretsRule, namespacesRule, ...rules]),
      config: {
        provisioning: {
          registries: [host],
          namespaces: { selector: `team=${team}` },
          serviceAccounts: names,
        },
      },
    });
    return provisioning;
  };
  const hasEverything = async (namespace: string) => {
    await eventually(
      'the Secret',
      async () => (await readPullSecret(cluster(), namespace))?.auths[host],
      60_000,
    );
    for (const name of names) {
      await eventually(
        `the reference of ${name}`,
        async () =>
          (await readServiceAccount(cluster(), namespace, name)).pullSecrets?.includes('ecr-pull-secrets'),
        60_000,
      );
    }
  };
  const namespaceOf = async (team: string) => {
    const namespace = await createLabelledNamespace(cluster(), { team });
    for (const name of [...names, 'unselected']) {
      await createServiceAccount(cluster(), namespace, name);
    }
    return namespace;
  };

  it('handles all of them, and no others, with one watch', async () => {
    const first = await namespaceOf('shared');
    const { log } = await start('shared', [allAccountsRule]);
    await hasEverything(first);
    const second = await namespaceOf('shared');
    await hasEverything(second);
    assert.equal((await readServiceAccount(cluster(), second, 'unselected')).pullSecrets, undefined);
    assert.deepEqual(
      log.filter(({ msg }) => /watching each name separately/.test(String(msg))),
      [],
    );
  });

  it('handles all of them with a watch for each if watching all is forbidden, and logs that once', async () => {
    const first = await namespaceOf('separate');
    const { log } = await start('separate', [byName]);
    await hasEverything(first);
    const second = await namespaceOf('separate');
    await hasEverything(second);
    const separately = log.filter(({ msg }) => /watching each name separately/.test(String(msg)));
    assert.equal(separately.length, 1);
    assert.deepEqual(separately[0]?.['serviceAccounts'], names);
  });
});
