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

describeWithHelm('rights', (helm) => {
  const rules = async (values: Values = {}, name = 'ecr-pull-secrets') => {
    const objects = await helm().template(values, {
      kubeVersion: '1.37.0',
      apiVersions: ['admissionregistration.k8s.io/v1/MutatingAdmissionPolicy'],
    });
    return getValueAt(findOne(objects, 'ClusterRole', name), 'rules');
  };
  const registries = [registry];
  const given = { certificates: { mode: 'existingSecret', secretName: 'own', caBundle: 'LS0t' } };
  const shared = { managed: { controller: { enabled: false } } };
  const sync = { cronJob: { enabled: true } };

  const cases: [string, Values, unknown[]][] = [
    ['no values', {}, [allOfSecrets, events, pods]],
    ['no list of pods', { rbac: { listPods: false } }, [allOfSecrets, events]],
    ['one account for all', { certificates: shared }, [allOfSecrets, events, pods, caBundle]],
    ['a given certificate', given, [allOfSecrets, events, pods]],
    ['no Events', { ...given, config: { renewal: { events: false } } }, [allOfSecrets, pods]],
    [
      'another name',
      { ...given, config: { secretName: 'pulls' } },
      [{ ...allOfSecrets, resourceNames: ['pulls'] }, events, pods],
    ],
    [
      'the default ServiceAccounts',
      { ...given, config: { provisioning: { registries } } },
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
      { ...given, config: { provisioning: { registries, serviceAccounts: ['default', 'builder'] } } },
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
      { ...given, config: { provisioning: { registries, serviceAccounts: ['default', 'default'] } } },
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
      { ...given, config: { provisioning: { registries, serviceAccounts: ['default', 'team-*'] } } },
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
      { ...given, config: { provisioning: { registries, serviceAccounts: [] } } },
      [allOfSecrets, events, pods, namespaces(['list', 'watch'])],
    ],
    [
      'the policy, which needs no ServiceAccount and sees no pod',
      { injection: 'policy', config: { provisioning: { registries } } },
      [allOfSecrets, events, namespaces(['list', 'watch'])],
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
    it(`${name}: these and no others`, async () => {
      assert.deepEqual(await rules(values), expected);
    });
  }

  it('grants the webhook configuration to the account that manages certificates, and nothing else', async () => {
    assert.deepEqual(await rules({}, 'ecr-pull-secrets-certificates'), [caBundle]);
    const policy = { injection: 'policy', config: { provisioning: { registries } } };
    assert.deepEqual(await rules(policy, 'ecr-pull-secrets-certificates'), [
      { ...caBundle, verbs: ['get', 'list', 'watch'] },
    ]);
  });

  it('grants the certificate in the own namespace only, and only where the program makes it', async () => {
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
    assert.ok((await helm().template(given)).every(({ kind }) => kind !== 'Role'));
  });
});
