// Tests what sync reports if a real API server refuses the labels of a pull Secret that needs no other change.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';
import { startEcr } from '../provisioning/provisioning-fixture.ts';
import { eventually } from '../support/eventually.ts';
import { secretsPath } from '../support/pull-secret.ts';
import { bindPolicy, createAdmissionPolicy } from '../support/secret-refusers.ts';
import { runOnce } from './run-command.ts';

const labels = { team: 'refused' };

describeOnCluster('sync whose labels a policy refuses, on a real API server', (cluster) => {
  let ecr: EcrDouble;
  before(async () => {
    ecr = await startEcr();
  });
  after(() => ecr.stop());

  it('reports the namespace and the policy, completes the others, and returns exit code 1', async () => {
    const [good, refused] = [await cluster().createNamespace(), await cluster().createNamespace()];
    const args = ['sync', '--registry', '123456789012.dkr.ecr.eu-central-1.amazonaws.com'];
    const sync = async (settings: Record<string, unknown>) => {
      const selected = ['--namespace', good, '--namespace', refused, '--output', 'json'];
      const { code, stdout } = await runOnce([...args, ...selected], cluster().kubeconfigPath, settings);
      return { code, ...JSON.parse(stdout) };
    };
    await sync({});
    const expression = "object.metadata.?labels['team'].orValue('') != 'refused'";
    await createAdmissionPolicy(cluster(), 'Validating', 'no-such-team', { validations: [{ expression }] });
    await bindPolicy(cluster(), 'Validating', 'no-such-team', refused);
    await eventually(
      'the policy is in force',
      async () => {
        const probe = { metadata: { name: 'probe', labels } };
        return (await cluster().request('POST', `${secretsPath(refused)}?dryRun=All`, probe)).status === 422;
      },
      60_000,
    );
    const { code, failed, namespaces } = await sync({ secrets: { labels } });
    assert.deepEqual([code, failed], [1, 1]);
    const [first, second] = namespaces;
    assert.deepEqual([first.namespace, first.failures], [good, []]);
    assert.deepEqual([second.namespace, second.secret], [refused, 'failed']);
    const [{ what, code: reason, text }] = second.failures;
    assert.deepEqual([what, reason], ['labels and annotations of Secret ecr-pull-secrets', 'invalid']);
    assert.match(text, /ValidatingAdmissionPolicy 'no-such-team'/);
  });
});
