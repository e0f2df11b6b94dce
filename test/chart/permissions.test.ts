// Tests of the rendered roles for each combination of values.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { describeWithHelm } from './chart-suite.ts';
import type { Values } from './helm.ts';
import { registry } from './install-modes.ts';
import { findOne, getValueAt } from './rendered-objects.ts';

const secrets = (verbs: string[]) => ({
  apiGroups: [''],
  resources: ['secrets'],
  resourceNames: ['ecr-pull-secrets'],
  verbs,
});
const allOfSecrets = secrets(['get', 'list', 'watch', 'create', 'patch']);
const events = { apiGroups: [''], resources: ['events'], verbs: ['create'] };
const pods = { apiGroups: [''], resources: ['pods'], verbs: ['list'] };
const caBundle = {
  apiGroups: ['admissionregistration.k8s.io'],
  resources: ['mutatingwebhookconfigurations'],
  resourceNames: ['zz-ecr-pull-secrets'],
  verbs: ['get', 'list', 'watch', 'patch'],
};
const namespaces = (verbs: string[]) => ({ apiGroups: [''], resources: ['namespaces'], verbs });
const accounts = (verbs: string[], resourceNames?: string[]) => ({
  apiGroups: [''],
  resources: ['serviceaccounts'],
  ...(resourceNames && { resourceNames }),
  verbs,
});

describeWithHelm('permissions', (helm) => {
  const rules = async (values: Values = {}, name = 'ecr-pull-secrets') => {
    const objects = await helm().template(values, {
      kubeVersion: '1.37.0',
      apiVersions: ['admissionregistration.k8s.io/v1/MutatingAdmissionPolicy'],
    });
    return getValueAt(findOne(objects, 'ClusterRole', name), 'rules');
  };
  const registries = [registry];
  const existing = { certificates: { mode: 'existingSecret', secretName: 'own', caBundle: 'LS0t' } };
  const shared = { managed: { controller: { enabled: false } } };
  const sync = { cronJob: { enabled: true } };

  const listed = namespaces(['list']);
  const roleRule = { roleArn: 'arn:aws:iam::123456789012:role/pull' };
  const cases: [string, Values, unknown[]][] = [
    ['no values', {}, [allOfSecrets, events, pods, listed]],
    ['the webhook alone', { injection: 'webhook' }, [allOfSecrets, events, pods, listed]],
    ['webhook and policy', { injection: 'both' }, [allOfSecrets, events, pods, listed]],
    ['no list of pods', { rbac: { listPods: false } }, [allOfSecrets, events]],
    ['no catch-up', { config: { catchUp: { enabled: false } } }, [allOfSecrets, events, pods]],
    [
      'deletion of pods that were missed',
      { config: { catchUp: { evict: true } } },
      [allOfSecrets, events, { ...pods, verbs: ['list', 'delete'] }, listed],
    ],
    ['one ServiceAccount for all', { certificates: shared }, [allOfSecrets, events, pods, listed, caBundle]],
    ['an existing certificate', existing, [allOfSecrets, events, pods, listed]],
    ['no Events', { ...existing, config: { renewal: { events: false } } }, [allOfSecrets, pods, listed]],
    [
      'another name',
      { ...existing, config: { secretName: 'pulls' } },
      [{ ...allOfSecrets, resourceNames: ['pulls'] }, events, pods, listed],
    ],
    [
      'the default ServiceAccounts',
      { ...existing, config: { provisioning: { registries } } },
      [
        allOfSecrets,
        events,
        pods,
        namespaces(['list', 'watch']),
        accounts(['get', 'list', 'watch', 'patch'], ['default']),
      ],
    ],
    [
      'several ServiceAccounts by name',
      { ...existing, config: { provisioning: { registries, serviceAccounts: ['default', 'builder'] } } },
      [
        allOfSecrets,
        events,
        pods,
        namespaces(['list', 'watch']),
        accounts(['list', 'watch']),
        accounts(['get', 'patch'], ['default', 'builder']),
      ],
    ],
    [
      'one ServiceAccount, named twice',
      { ...existing, config: { provisioning: { registries, serviceAccounts: ['default', 'default'] } } },
      [
        allOfSecrets,
        events,
        pods,
        namespaces(['list', 'watch']),
        accounts(['get', 'list', 'watch', 'patch'], ['default', 'default']),
      ],
    ],
    [
      'a CronJob for several ServiceAccounts by name',
      { ...sync, config: { provisioning: { registries, serviceAccounts: ['default', 'builder'] } } },
      [
        secrets(['get', 'create', 'patch']),
        namespaces(['list']),
        accounts(['get', 'patch'], ['default', 'builder']),
      ],
    ],
    [
      'ServiceAccounts by pattern',
      { ...existing, config: { provisioning: { registries, serviceAccounts: ['default', 'team-*'] } } },
      [
        allOfSecrets,
        events,
        pods,
        namespaces(['list', 'watch']),
        accounts(['get', 'list', 'watch', 'patch']),
      ],
    ],
    [
      'Secrets ahead of pods, no ServiceAccounts',
      { ...existing, config: { provisioning: { registries, serviceAccounts: [] } } },
      [allOfSecrets, events, pods, namespaces(['list', 'watch'])],
    ],
    [
      'the policy, which needs no access to ServiceAccounts',
      { injection: 'policy', config: { provisioning: { registries } } },
      [allOfSecrets, events, pods, namespaces(['list', 'watch'])],
    ],
    [
      'the policy without catch-up, which needs no access to pods',
      { injection: 'policy', config: { provisioning: { registries }, catchUp: { enabled: false } } },
      [allOfSecrets, events, namespaces(['list', 'watch'])],
    ],
    [
      'rules that select namespaces by labels',
      { ...existing, config: { registries: [{ ...roleRule, namespaces: { selector: 'tier=prod' } }] } },
      [allOfSecrets, events, pods, namespaces(['list', 'watch'])],
    ],
    [
      'rules that select namespaces by names',
      { ...existing, config: { registries: [{ ...roleRule, namespaces: { names: ['team-*'] } }] } },
      [allOfSecrets, events, pods, listed],
    ],
    [
      'rules with tokens of ServiceAccounts',
      { ...existing, config: { registries: [{ webIdentity: { serviceAccount: 'ecr-pull' } }] } },
      [
        allOfSecrets,
        events,
        pods,
        listed,
        accounts(['list', 'watch'], ['ecr-pull']),
        {
          apiGroups: [''],
          resources: ['serviceaccounts/token'],
          resourceNames: ['ecr-pull'],
          verbs: ['create'],
        },
      ],
    ],
    [
      'a CronJob with such rules',
      {
        ...sync,
        config: {
          provisioning: { registries, namespaces: { names: ['shop'] }, serviceAccounts: [] },
          registries: [
            { webIdentity: { serviceAccount: 'ecr-pull' }, namespaces: { selector: 'tier=prod' } },
            { webIdentity: { serviceAccount: 'ecr-pull' } },
          ],
        },
      },
      [
        secrets(['get', 'create', 'patch']),
        listed,
        accounts(['list'], ['ecr-pull']),
        {
          apiGroups: [''],
          resources: ['serviceaccounts/token'],
          resourceNames: ['ecr-pull'],
          verbs: ['create'],
        },
      ],
    ],
    [
      'a CronJob',
      { ...sync, config: { provisioning: { registries } } },
      [secrets(['get', 'create', 'patch']), namespaces(['list']), accounts(['get', 'patch'], ['default'])],
    ],
    [
      'a CronJob for namespaces by name',
      { ...sync, config: { provisioning: { registries, namespaces: { names: ['shop'] } } } },
      [secrets(['get', 'create', 'patch']), accounts(['get', 'patch'], ['default'])],
    ],
    [
      'a CronJob for ServiceAccounts by pattern',
      { ...sync, config: { provisioning: { registries, serviceAccounts: ['*'] } } },
      [secrets(['get', 'create', 'patch']), namespaces(['list']), accounts(['get', 'list', 'patch'])],
    ],
  ];
  for (const [name, values, expected] of cases) {
    it(`${name}: exactly these`, async () => {
      assert.deepEqual(await rules(values), expected);
    });
  }

  it('include only the webhook configuration for the ServiceAccount that manages certificates', async () => {
    assert.deepEqual(await rules({}, 'ecr-pull-secrets-certificates'), [caBundle]);
    const policy = { injection: 'policy', config: { provisioning: { registries } } };
    assert.deepEqual(await rules(policy, 'ecr-pull-secrets-certificates'), [
      { ...caBundle, verbs: ['get', 'list', 'watch'] },
    ]);
  });

  it('include the certificate only in the namespace of the chart, and only if the program manages it', async () => {
    const role = findOne(await helm().template(), 'Role');
    assert.equal(role.metadata.namespace, 'ecr-pull-secrets');
    assert.deepEqual(getValueAt(role, 'rules'), [
      {
        apiGroups: [''],
        resources: ['secrets'],
        resourceNames: ['ecr-pull-secrets-tls'],
        verbs: ['get', 'list', 'watch', 'create', 'patch'],
      },
    ]);
    assert.ok((await helm().template(existing)).every(({ kind }) => kind !== 'Role'));
  });
});
