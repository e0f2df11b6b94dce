// Tests of the injection mode that the chart chooses, and of what policy and webhook have in common.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describeWithHelm } from './chart-suite.ts';
import { chartFolder, type Values } from './helm.ts';
import { getApiVersions, registry } from './install-modes.ts';
import { findOne, getValueAt, type KubeObject, parseSettings } from './rendered-objects.ts';

const policyKind = 'admissionregistration.k8s.io/v1/MutatingAdmissionPolicy';
const provisioning = { registries: [registry] };

/** The mode, from the rendered objects. */
function getMode(objects: readonly KubeObject[]): string {
  const has = (kind: string) => objects.some((object) => object.kind === kind);
  assert.equal(has('MutatingAdmissionPolicy'), has('MutatingAdmissionPolicyBinding'));
  if (has('MutatingWebhookConfiguration')) {
    return has('MutatingAdmissionPolicy') ? 'both' : 'webhook';
  }
  return has('MutatingAdmissionPolicy') ? 'policy' : 'none';
}

describeWithHelm('the injection mode', (helm) => {
  const cases: [string, Values, { kubeVersion?: string; apiVersions?: string[] }, string][] = [
    ['an older version', {}, { kubeVersion: '1.35.9' }, 'webhook'],
    ['the first version with the policy', {}, { kubeVersion: '1.36.0' }, 'both'],
    ['a prerelease of that version', {}, { kubeVersion: '1.36.0-alpha.1' }, 'both'],
    ['a version with the suffix of a distribution', {}, { kubeVersion: 'v1.36.2-eks-1a2b3c4' }, 'both'],
    ['a cluster that offers the policy', {}, { apiVersions: ['v1/Pod', policyKind] }, 'both'],
    [
      'a cluster that does not offer the policy',
      {},
      { kubeVersion: '1.37.0', apiVersions: ['v1/Pod'] },
      'webhook',
    ],
    [
      'API groups without kinds',
      {},
      { kubeVersion: '1.37.0', apiVersions: ['monitoring.coreos.com/v1'] },
      'both',
    ],
    [
      'a CronJob alone',
      { cronJob: { enabled: true }, config: { provisioning } },
      { kubeVersion: '1.37.0' },
      'none',
    ],
    [
      'webhook, although the policy is offered',
      { injection: 'webhook' },
      { kubeVersion: '1.37.0' },
      'webhook',
    ],
    ['both', { injection: 'both' }, { kubeVersion: '1.37.0' }, 'both'],
  ];
  for (const [name, values, options, expected] of cases) {
    it(`of ${name} is ${expected}`, async () => {
      assert.equal(getMode(await helm().template(values, options)), expected);
    });
  }

  const notes = async (values: Values, flags: readonly string[] = []): Promise<string> => {
    const install = ['install', 'x', chartFolder, '--dry-run=client', ...flags];
    const { code, stdout, stderr } = await helm().run(install, values);
    assert.equal(code, 0, stderr);
    return stdout.slice(stdout.indexOf('NOTES:')).replace(/\s+/g, ' ');
  };

  it('is in the notes, with the reason', async () => {
    assert.match(
      await notes({}),
      /even while ecr-pull-secrets is not running.*Injection mode: both \(chosen by `injection: auto`, because the API server, v1\.\d+\.\d+, offers MutatingAdmissionPolicy\)/,
    );
    const set = await notes({ injection: 'webhook' });
    assert.match(set, /Injection mode: webhook \(set by `injection`\)/);
    assert.doesNotMatch(set, /even while/);
    assert.match(
      await notes({ cronJob: { enabled: true }, config: { provisioning } }),
      /Injection mode: none \(chosen by `injection: auto`, because only the CronJob runs\)/,
    );
    // Without a replica, the webhook's failure policy rejects the pods.
    assert.doesNotMatch(await notes({ webhook: { failurePolicy: 'Fail' } }), /even while/);
  });

  it('does not change which ServiceAccounts get the reference', async () => {
    const serviceAccounts = async (kubeVersion: string) => {
      const objects = await helm().template({ config: { provisioning } }, { kubeVersion });
      return parseSettings(findOne(objects, 'ConfigMap')).provisioning.serviceAccounts;
    };
    assert.deepEqual(await serviceAccounts('1.37.0'), ['default']);
    assert.deepEqual(await serviceAccounts('1.35.0'), ['default']);
  });
});

describeWithHelm('policy and webhook', (helm) => {
  const newest = { kubeVersion: '1.37.0', apiVersions: getApiVersions('1.37.0') };
  const render = async (values: Values) => {
    const objects = await helm().template(values, newest);
    return {
      policy: getValueAt(findOne(objects, 'MutatingAdmissionPolicy'), 'spec'),
      webhook: getValueAt(findOne(objects, 'MutatingWebhookConfiguration'), 'webhooks.0'),
    };
  };
  const names = (conditions: readonly unknown[]) => conditions.map((one) => getValueAt(one, 'name'));

  it('select the same namespaces', async () => {
    const { policy, webhook } = await render({
      namespaces: { select: 'optIn', exclude: ['monitoring'], selector: { matchLabels: { team: 'shop' } } },
      config: { exclude: { namespaces: ['lab-*', 'legacy'], admissionNamespaces: ['infra-*'] } },
    });
    assert.deepEqual(policy.matchConstraints.namespaceSelector, webhook.namespaceSelector);
    for (const condition of policy.matchConditions) {
      assert.deepEqual(
        webhook.matchConditions.find((one: unknown) => getValueAt(one, 'name') === condition.name),
        condition,
      );
    }
    assert.deepEqual(names(policy.matchConditions), ['not-a-mirror-pod', 'not-excluded-by-pattern']);
  });

  it('recognize the same images', async () => {
    const { policy, webhook } = await render({});
    const condition = webhook.matchConditions.find((one: unknown) => getValueAt(one, 'name') === 'ecr-image');
    const mutation: string = policy.mutations[0].jsonPatch.expression;
    assert.ok(mutation.includes(condition.expression.trim()), mutation);
  });

  it('reject no pod because of an error in the policy, because the webhook adds the reference as well', async () => {
    const { policy, webhook } = await render({ webhook: { failurePolicy: 'Fail' } });
    assert.deepEqual([policy.failurePolicy, webhook.failurePolicy], ['Ignore', 'Fail']);
  });

  it('differ with webhook.match: allPods only in the condition on images', async () => {
    const { policy, webhook } = await render({});
    const all = await render({ webhook: { match: 'allPods' } });
    assert.deepEqual(all.policy, policy);
    assert.deepEqual(names(webhook.matchConditions), ['not-a-mirror-pod', 'new-or-changed', 'ecr-image']);
    assert.deepEqual(all.webhook, { ...webhook, matchConditions: webhook.matchConditions.slice(0, 2) });
  });
});
