// Tests which actions are planned for a namespace.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Registry } from '../../src/ecr/registry.ts';
import type { ServiceAccount } from '../../src/kube/service-accounts.ts';
import {
  type IsDenied,
  type ObservedNamespace,
  planActions,
} from '../../src/provisioning/provisioning-plan.ts';
import type { ProvisioningSettings } from '../../src/provisioning/provisioning-settings.ts';
import { resolveRegistry } from '../support/registries.ts';

const pullSecretName = 'ecr-pull-secrets';

function registry(region: string): Registry {
  const parsed = resolveRegistry(`123456789012.dkr.ecr.${region}.amazonaws.com`);
  assert.ok(parsed);
  return parsed;
}

const [first, second] = [registry('eu-central-1'), registry('us-east-1')];

const settings: ProvisioningSettings = {
  secretName: pullSecretName,
  registries: [first, second],
  namespaces: [],
  labelSelector: '',
  excludedNamespaces: ['lab-*'],
  explicitOnlyNamespaces: ['kube-*'],
  serviceAccounts: ['default'],
};

function account(more: Partial<ServiceAccount> = {}): ServiceAccount {
  const where = { namespace: 'shop', name: 'default', uid: 'u', resourceVersion: '1' };
  return { ...where, imagePullSecrets: [], managedReference: undefined, hasAnnotations: false, ...more };
}

const referring = account({
  imagePullSecrets: [pullSecretName],
  managedReference: pullSecretName,
  hasAnnotations: true,
});

const complete = {
  isManaged: true,
  hosts: new Map([first, second].map(({ host }) => [host, undefined])),
};

/** A namespace with nothing left to do, apart from the given changes. */
function observed(more: Partial<ObservedNamespace> = {}): ObservedNamespace {
  const name = more.name ?? 'shop';
  return {
    name,
    namespace: { name, isTerminating: false, labels: {} },
    secret: complete,
    serviceAccounts: [referring],
    ...more,
  };
}

function describePlan(
  what: Partial<ObservedNamespace>,
  how: Partial<ProvisioningSettings> = {},
  isDenied: IsDenied = () => false,
): string[] {
  return planActions(observed(what), { ...settings, ...how }, isDenied).map((action) =>
    action.kind === 'ensure-secret'
      ? `ensure-secret ${action.registries.map(({ region }) => region)}: ${action.reason}`
      : `${action.kind} ${action.serviceAccount}: ${action.reason}`,
  );
}

describe('provisioning plan', () => {
  it('is empty if nothing is missing', () => {
    assert.deepEqual(describePlan({}), []);
  });

  it('skips registries that rules deny to the namespace', () => {
    const isDenied: IsDenied = (namespace, { host }) => namespace === 'shop' && host === first.host;
    assert.deepEqual(describePlan({ secret: undefined }, {}, isDenied), [
      'ensure-secret us-east-1: no-secret',
    ]);
    assert.deepEqual(
      describePlan({ secret: { ...complete, hosts: new Map([[second.host, undefined]]) } }, {}, isDenied),
      [],
    );
    assert.deepEqual(describePlan({ name: 'other', secret: undefined }, {}, isDenied), [
      'ensure-secret eu-central-1,us-east-1: no-secret',
    ]);
  });

  it('waits in a selected namespace until it is known what rules deny to it', () => {
    const before = { secret: undefined, serviceAccounts: [account()] };
    const undecided = () => undefined;
    assert.deepEqual(describePlan(before, {}, undecided), []);
    assert.deepEqual(describePlan({}, {}, undecided), []);
    assert.deepEqual(describePlan({ namespace: undefined }, {}, undecided), [
      'remove-reference default: namespace-not-selected',
    ]);
  });

  it('adds neither Secret nor references where rules deny all registries, and removes the references that it added', () => {
    const before = { secret: undefined, serviceAccounts: [account()] };
    assert.deepEqual(
      describePlan(before, {}, () => true),
      [],
    );
    assert.deepEqual(
      describePlan({}, {}, () => true),
      ['remove-reference default: registries-denied'],
    );
    const ofUser = account({ imagePullSecrets: [pullSecretName] });
    assert.deepEqual(
      describePlan({ serviceAccounts: [ofUser] }, {}, () => true),
      [],
    );
  });

  it('ensures the Secret, or the hosts that it lacks', () => {
    assert.deepEqual(describePlan({ secret: undefined }), [
      'ensure-secret eu-central-1,us-east-1: no-secret',
    ]);
    const secret = { isManaged: true, hosts: new Map([[first.host, undefined]]) };
    assert.deepEqual(describePlan({ secret }), ['ensure-secret us-east-1: host-missing']);
    assert.deepEqual(describePlan({ secret: { ...complete, isManaged: false } }), [
      'ensure-secret eu-central-1,us-east-1: unmanaged-secret',
    ]);
    assert.deepEqual(describePlan({ secret: { ...complete, isManaged: false, isOptedOut: true } }), []);
  });

  it('adds references that are missing or refer to another Secret', () => {
    assert.deepEqual(describePlan({ serviceAccounts: [account()] }), ['add-reference default: no-reference']);
    const old = account({ imagePullSecrets: ['old'], managedReference: 'old', hasAnnotations: true });
    assert.deepEqual(describePlan({ serviceAccounts: [old] }), [
      'add-reference default: references-other-secret',
    ]);
    const lost = account({
      imagePullSecrets: ['mine'],
      managedReference: pullSecretName,
      hasAnnotations: true,
    });
    assert.deepEqual(describePlan({ serviceAccounts: [lost] }), ['add-reference default: no-reference']);
  });

  it('selects ServiceAccounts by name or pattern', () => {
    const serviceAccounts = [account(), account({ name: 'builder' })];
    assert.deepEqual(describePlan({ serviceAccounts: serviceAccounts }), [
      'add-reference default: no-reference',
    ]);
    assert.deepEqual(describePlan({ serviceAccounts: serviceAccounts }, { serviceAccounts: ['*'] }), [
      'add-reference default: no-reference',
      'add-reference builder: no-reference',
    ]);
    assert.deepEqual(describePlan({ serviceAccounts: serviceAccounts }, { serviceAccounts: [] }), []);
  });

  it('removes references that the program added and that are no longer selected, with the reason', () => {
    assert.deepEqual(describePlan({}, { registries: [] }), [
      'remove-reference default: provisioning-disabled',
    ]);
    assert.deepEqual(describePlan({}, { serviceAccounts: [] }), [
      'remove-reference default: service-account-not-selected',
    ]);
    assert.deepEqual(describePlan({}, { namespaces: ['cart-*'] }), [
      'remove-reference default: namespace-not-selected',
    ]);
    assert.deepEqual(describePlan({ namespace: undefined }), [
      'remove-reference default: namespace-not-selected',
    ]);
  });

  it('keeps references that another installation added to a Secret of another name', () => {
    const otherReference = account({
      imagePullSecrets: ['theirs'],
      managedReference: 'theirs',
      hasAnnotations: true,
    });
    const changes: Partial<ProvisioningSettings>[] = [
      { registries: [] },
      { serviceAccounts: [] },
      { namespaces: ['x'] },
    ];
    for (const change of changes) {
      assert.deepEqual(describePlan({ serviceAccounts: [otherReference] }, change), []);
    }
  });

  it('never removes a reference that a user added', () => {
    const userReference = account({ imagePullSecrets: [pullSecretName] });
    const changes: Partial<ProvisioningSettings>[] = [
      { registries: [] },
      { serviceAccounts: [] },
      { namespaces: ['x'] },
    ];
    for (const change of changes) {
      assert.deepEqual(describePlan({ serviceAccounts: [userReference] }, change), []);
    }
  });

  it('skips excluded and terminating namespaces', () => {
    const lacking = { secret: undefined, serviceAccounts: [account(), referring] };
    assert.deepEqual(
      describePlan({ ...lacking, namespace: { name: 'shop', isTerminating: true, labels: {} } }),
      [],
    );
    assert.deepEqual(describePlan({ ...lacking, name: 'lab-1' }), []);
    assert.deepEqual(describePlan({ ...lacking, name: 'lab-1' }, { registries: [] }), []);
    assert.deepEqual(describePlan({ ...lacking, name: 'lab-1' }, { namespaces: ['lab-1'] }), []);
  });

  it('selects a namespace that is excluded from admission only by its name', () => {
    const lacking = { name: 'kube-system', secret: undefined, serviceAccounts: [account()] };
    const all = ['ensure-secret eu-central-1,us-east-1: no-secret', 'add-reference default: no-reference'];
    assert.deepEqual(describePlan(lacking, { namespaces: ['shop', 'kube-system'] }), all);
    for (const namespaces of [[], ['*'], ['kube-*'], ['shop']]) {
      assert.deepEqual(describePlan(lacking, { namespaces }), [], `${namespaces}`);
    }
    const referred = { ...lacking, serviceAccounts: [referring] };
    assert.deepEqual(describePlan(referred, { namespaces: ['shop'] }), [
      'remove-reference default: namespace-not-selected',
    ]);
  });

  it('adds exactly the missing references, and removes exactly the managed ones that are not selected', () => {
    const names = fc.constantFrom(pullSecretName, 'old', 'mine');
    const serviceAccounts = fc.record({
      imagePullSecrets: fc.uniqueArray(names),
      managedReference: fc.option(names, { nil: undefined }),
    });
    fc.assert(
      fc.property(serviceAccounts, fc.boolean(), fc.boolean(), (given, on, selected) => {
        const how = { ...settings, registries: on ? [first] : [], serviceAccounts: selected ? ['*'] : [] };
        const before = account(given);
        const [action] = planActions(observed({ serviceAccounts: [before] }), how, () => false);
        const wanted = on && selected;
        assert.equal(action?.kind === 'add-reference', wanted && needsReference(before));
        assert.equal(
          action?.kind === 'remove-reference',
          !wanted && before.managedReference === pullSecretName,
        );
      }),
    );
  });
});

function needsReference({ imagePullSecrets, managedReference }: ServiceAccount): boolean {
  return (
    !imagePullSecrets.includes(pullSecretName) ||
    (managedReference !== undefined && managedReference !== pullSecretName)
  );
}
