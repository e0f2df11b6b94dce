// Tests which provisioning settings are reported as matching nothing, and which ServiceAccounts as lacking the reference.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findMissingReferences, findUnmatchedNames } from '../../src/diagnosis/provisioning-findings.ts';
import type { Namespace } from '../../src/kube/namespaces.ts';
import type { ServiceAccount } from '../../src/kube/service-accounts.ts';
import type { ProvisioningSettings } from '../../src/provisioning/provisioning-settings.ts';
import { registryOfHost } from '../support/registries.ts';

const registry = registryOfHost('123456789012.dkr.ecr.eu-central-1.amazonaws.com');
const settings: ProvisioningSettings = {
  secretName: 'ecr-pull-secrets',
  registries: [registry],
  namespaces: [],
  labelSelector: '',
  excludedNamespaces: [],
  explicitOnlyNamespaces: ['kube-system'],
  serviceAccounts: ['default'],
};
const namespaces: Namespace[] = ['shop', 'team-a', 'kube-system'].map((name) => ({
  name,
  isTerminating: false,
  labels: {},
}));
const account = (namespace: string, name: string, ...imagePullSecrets: string[]): ServiceAccount => ({
  ...{ namespace, name, uid: 'u', resourceVersion: '1', imagePullSecrets },
  ...{ managedReference: undefined, hasAnnotations: false },
});

describe('names that match nothing', () => {
  it('are named with a similar name that exists', () => {
    const found = findUnmatchedNames({ ...settings, namespaces: ['shpo', 'team-*', 'x*'] }, namespaces, [
      account('team-a', 'default'),
    ]);
    assert.deepEqual(found, [
      { setting: 'provisioning.namespaces.names', name: 'shpo', suggestion: 'shop' },
      { setting: 'provisioning.namespaces.names', name: 'x*', suggestion: undefined },
    ]);
  });

  it('include ServiceAccounts, unless no namespace is selected, which is the cause then', () => {
    const misspelt = { ...settings, serviceAccounts: ['defualt'] };
    const accounts = [account('shop', 'default')];
    assert.deepEqual(findUnmatchedNames(misspelt, namespaces, accounts), [
      { setting: 'provisioning.serviceAccounts', name: 'defualt', suggestion: 'default' },
    ]);
    const nowhere = { ...misspelt, namespaces: ['gone'] };
    assert.deepEqual(
      findUnmatchedNames(nowhere, namespaces, accounts).map(({ name }) => name),
      ['gone'],
    );
  });

  it('are none if all match', () => {
    assert.deepEqual(findUnmatchedNames(settings, namespaces, [account('shop', 'default')]), []);
  });
});

describe('missing references', () => {
  const accounts = [
    account('shop', 'default'),
    account('shop', 'builder'),
    account('team-a', 'default', 'other', 'ecr-pull-secrets'),
    account('kube-system', 'default'),
  ];

  it('are those that the program would add', () => {
    assert.deepEqual(
      findMissingReferences(settings, namespaces, accounts, () => false),
      [{ namespace: 'shop', name: 'default' }],
    );
  });

  it('are none where rules deny all registries, or where it is not known whether they do', () => {
    assert.deepEqual(
      findMissingReferences(settings, namespaces, accounts, () => true),
      [],
    );
    assert.deepEqual(
      findMissingReferences(settings, namespaces, accounts, () => undefined),
      [],
    );
  });
});
