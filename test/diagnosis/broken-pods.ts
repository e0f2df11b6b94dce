// Setups in which a pod gets no reference to the pull Secret, or no token by the configuration.
import { setTimeout as wait } from 'node:timers/promises';
import type { Cluster } from '../cluster/cluster.ts';
import { eventually } from '../support/eventually.ts';
import { secretPath } from '../support/pull-secret.ts';
import type { Broken, BrokenSetup } from './broken-setup.ts';
import { type HealthyInstallation, ownHost } from './healthy-installation.ts';
import { send } from './simulated-workloads.ts';
import { createStuckNamespace, createStuckPod } from './stuck-pods.ts';

/** A role that the rule for `payments` does not allow. */
const otherRole = 'arn:aws:iam::123456789012:role/administrator';

export const brokenPodSetups: readonly BrokenSetup[] = [
  {
    name: 'excluded namespace',
    broken: 'The configuration excludes the namespace of the pod',
    command: ['doctor', 'pod', 'build-1/web'],
    from: 'inside',
    check: 'pod-injection',
    summary:
      'exclude.namespaces or exclude.admissionNamespaces of the configuration excludes namespace build-1',
    break: (installation) => createStuckNamespace(installation, 'build-1'),
  },
  {
    name: 'opt-out annotation',
    broken: 'The pod has the annotation with which pods opt out',
    command: ['doctor', 'pod', 'shop/stuck'],
    from: 'inside',
    check: 'pod-injection',
    summary: 'the pod has the annotation ecr-pull-secrets.io/inject=false',
    break: (installation) =>
      createStuckPod(installation, 'shop', 'stuck', {
        annotations: { 'ecr-pull-secrets.io/inject': 'false' },
      }),
  },
  {
    name: 'a rule that denies',
    broken: 'A rule with access: deny applies to the namespace of the pod',
    command: ['doctor', 'pod', 'sandbox/web'],
    from: 'inside',
    check: 'pod-injection',
    summary: `registries[0] of the configuration denies the namespace the tokens of ${ownHost}`,
    break: (installation) => createStuckNamespace(installation, 'sandbox'),
  },
  {
    name: 'a role outside allowedRoles',
    broken: 'The ServiceAccount of a webIdentity rule names a role that allowedRoles does not allow',
    command: ['doctor', 'pod', 'payments/stuck'],
    from: 'inside',
    check: 'pull-token',
    summary: `there is no token for ${ownHost}: registries[1].allowedRoles does not contain ${otherRole}, the role in annotation eks.amazonaws.com/role-arn of ServiceAccount payments/ecr-pull`,
    break: async (installation) => {
      const { cluster } = installation;
      const path = '/api/v1/namespaces/payments/serviceaccounts/ecr-pull';
      const { body } = await cluster.request('GET', path);
      const { annotations } = Object(body).metadata;
      await send(cluster, 'PATCH', path, {
        metadata: { annotations: { 'eks.amazonaws.com/role-arn': otherRole } },
      });
      await send(cluster, 'DELETE', secretPath('payments'));
      const { repair } = await createStuckPod(installation, 'payments', 'stuck');
      return {
        repair: async () => {
          await send(cluster, 'PATCH', path, { metadata: { annotations } });
          await repair();
        },
      };
    },
  },
  {
    name: 'misspelt provisioning name',
    broken: 'provisioning.namespaces.names names a namespace that does not exist',
    command: ['doctor'],
    from: 'inside',
    check: 'provisioning-names',
    summary:
      'provisioning.namespaces.names contains shpo, but no selected namespace has that name; did you mean shop?',
    break: async () => ({
      config: { provisioning: { registries: [ownHost], namespaces: { names: ['shpo'] } } },
      repair: async () => undefined,
    }),
  },
  {
    name: 'ServiceAccount without reference',
    broken: 'A policy of the cluster refuses changes of ServiceAccounts, so that one has no reference',
    command: ['doctor'],
    from: 'inside',
    check: 'provisioning-references',
    summary: 'ServiceAccount shop/default lacks the reference to Secret ecr-pull-secrets',
    break: refuseReferences,
  },
];

/** Removes the reference from a ServiceAccount, and refuses it to the program. */
async function refuseReferences({ cluster, release }: HealthyInstallation): Promise<Broken> {
  const group = '/apis/admissionregistration.k8s.io/v1';
  const metadata = { name: 'frozen-service-accounts' };
  await send(cluster, 'POST', `${group}/validatingadmissionpolicies`, {
    metadata,
    spec: {
      failurePolicy: 'Fail',
      matchConstraints: {
        resourceRules: [
          { apiGroups: [''], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['serviceaccounts'] },
        ],
      },
      validations: [{ expression: `request.userInfo.username != '${release.user}'` }],
    },
  });
  await send(cluster, 'POST', `${group}/validatingadmissionpolicybindings`, {
    metadata,
    spec: { policyName: metadata.name, validationActions: ['Deny'] },
  });
  const account = '/api/v1/namespaces/shop/serviceaccounts/default';
  await eventually('the program cannot restore the reference', async () => {
    await send(cluster, 'PATCH', account, { imagePullSecrets: null });
    return await staysWithoutReference(cluster, account);
  });
  return {
    repair: async () => {
      await send(cluster, 'DELETE', `${group}/validatingadmissionpolicybindings/${metadata.name}`);
      await send(cluster, 'DELETE', `${group}/validatingadmissionpolicies/${metadata.name}`);
      await eventually('the program has restored the reference', () => hasReference(cluster, account));
    },
  };
}

async function hasReference(cluster: Cluster, account: string): Promise<boolean> {
  const { body } = await cluster.request('GET', account);
  return Object(body).imagePullSecrets !== undefined;
}

/** The program restores a reference within milliseconds unless it is refused. */
async function staysWithoutReference(cluster: Cluster, account: string): Promise<boolean> {
  const until = Date.now() + 1_000;
  while (Date.now() < until) {
    if (await hasReference(cluster, account)) {
      return false;
    }
    await wait(50);
  }
  return true;
}
