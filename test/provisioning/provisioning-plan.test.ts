import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseEcrHost, type Registry } from '../../src/ecr/registry.ts';
import type { ServiceAccount } from '../../src/kube/service-accounts.ts';
import { type ObservedNamespace, planActions } from '../../src/provisioning/provisioning-plan.ts';
import type { ProvisioningSettings } from '../../src/provisioning/provisioning-settings.ts';

const isManaged = 'ecr-pull-secrets';

function registry(region: string): Registry {
  const parsed = parseEcrHost(`123456789012.dkr.ecr.${region}.amazonaws.com`);
  assert.ok(parsed);
  return parsed;
}

const [first, second] = [registry('eu-central-1'), registry('us-east-1')];

const settings: ProvisioningSettings = {
  secretName: isManaged,
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
  imagePullSecrets: [isManaged],
  managedReference: isManaged,
  hasAnnotations: true,
});

const complete = {
  isManaged: true,
  hosts: new Map([first, second].map(({ host }) => [host, undefined])),
};

/** A namespace that has all that is wanted, but for what is given. */
function seen(more: Partial<ObservedNamespace> = {}): ObservedNamespace {
  const name = more.name ?? 'shop';
  return {
    name,
    namespace: { name, isTerminating: false },
    secret: complete,
    serviceAccounts: [referring],
    ...more,
  };
}

function describePlan(what: Partial<ObservedNamespace>, how: Partial<ProvisioningSettings> = {}): string[] {
  return planActions(seen(what), { ...settings, ...how }).map((action) =>
    action.kind === 'ensure'
      ? `ensure ${action.registries.map(({ region }) => region)}: ${action.reason}`
      : `${action.kind} ${action.serviceAccount}: ${action.reason}`,
  );
}

describe('the plan for a namespace', () => {
  it('has nothing to do where all is there', () => {
    assert.deepEqual(describePlan({}), []);
  });

  it('asks for the Secret, or for the hosts that it does not name', () => {
    assert.deepEqual(describePlan({ secret: undefined }), ['ensure eu-central-1,us-east-1: no-secret']);
    const secret = { isManaged: true, hosts: new Map([[first.host, undefined]]) };
    assert.deepEqual(describePlan({ secret }), ['ensure us-east-1: host-missing']);
    assert.deepEqual(describePlan({ secret: { ...complete, isManaged: false } }), [
      'ensure eu-central-1,us-east-1: foreign-secret',
    ]);
    assert.deepEqual(describePlan({ secret: { ...complete, isManaged: false, isOptedOut: true } }), []);
  });

  it('asks for references that are not there, or that are to another Secret', () => {
    assert.deepEqual(describePlan({ serviceAccounts: [account()] }), ['refer default: no-reference']);
    const old = account({ imagePullSecrets: ['old'], managedReference: 'old', hasAnnotations: true });
    assert.deepEqual(describePlan({ serviceAccounts: [old] }), ['refer default: other-secret']);
    const lost = account({ imagePullSecrets: ['mine'], managedReference: isManaged, hasAnnotations: true });
    assert.deepEqual(describePlan({ serviceAccounts: [lost] }), ['refer default: no-reference']);
  });

  it('takes accounts by name or pattern', () => {
    const serviceAccounts = [account(), account({ name: 'builder' })];
    assert.deepEqual(describePlan({ serviceAccounts: serviceAccounts }), ['refer default: no-reference']);
    assert.deepEqual(describePlan({ serviceAccounts: serviceAccounts }, { serviceAccounts: ['*'] }), [
      'refer default: no-reference',
      'refer builder: no-reference',
    ]);
    assert.deepEqual(describePlan({ serviceAccounts: serviceAccounts }, { serviceAccounts: [] }), []);
  });

  it('gives up references that we added and that are no longer wanted, and says why', () => {
    assert.deepEqual(describePlan({}, { registries: [] }), ['unrefer default: mode-off']);
    assert.deepEqual(describePlan({}, { serviceAccounts: [] }), ['unrefer default: account-not-selected']);
    assert.deepEqual(describePlan({}, { namespaces: ['cart-*'] }), [
      'unrefer default: namespace-not-selected',
    ]);
    assert.deepEqual(describePlan({ namespace: undefined }), ['unrefer default: namespace-not-selected']);
  });

  it('leaves references that another installation added, to a Secret of another name', () => {
    const theirs = account({
      imagePullSecrets: ['theirs'],
      managedReference: 'theirs',
      hasAnnotations: true,
    });
    const ways: Partial<ProvisioningSettings>[] = [
      { registries: [] },
      { serviceAccounts: [] },
      { namespaces: ['x'] },
    ];
    for (const how of ways) {
      assert.deepEqual(describePlan({ serviceAccounts: [theirs] }, how), []);
    }
  });

  it('never gives up a reference that a person wrote', () => {
    const byHand = account({ imagePullSecrets: [isManaged] });
    const ways: Partial<ProvisioningSettings>[] = [
      { registries: [] },
      { serviceAccounts: [] },
      { namespaces: ['x'] },
    ];
    for (const how of ways) {
      assert.deepEqual(describePlan({ serviceAccounts: [byHand] }, how), []);
    }
  });

  it('leaves namespaces alone that are excluded or being deleted', () => {
    const lacking = { secret: undefined, serviceAccounts: [account(), referring] };
    assert.deepEqual(describePlan({ ...lacking, namespace: { name: 'shop', isTerminating: true } }), []);
    assert.deepEqual(describePlan({ ...lacking, name: 'lab-1' }), []);
    assert.deepEqual(describePlan({ ...lacking, name: 'lab-1' }, { registries: [] }), []);
    assert.deepEqual(describePlan({ ...lacking, name: 'lab-1' }, { namespaces: ['lab-1'] }), []);
  });

  it('selects a namespace that is excluded from admission only by its name', () => {
    const lacking = { name: 'kube-system', secret: undefined, serviceAccounts: [account()] };
    const all = ['ensure eu-central-1,us-east-1: no-secret', 'refer default: no-reference'];
    assert.deepEqual(describePlan(lacking, { namespaces: ['shop', 'kube-system'] }), all);
    for (const namespaces of [[], ['*'], ['kube-*'], ['shop']]) {
      assert.deepEqual(describePlan(lacking, { namespaces }), [], `${namespaces}`);
    }
    const referred = { ...lacking, serviceAccounts: [referring] };
    assert.deepEqual(describePlan(referred, { namespaces: ['shop'] }), [
      'unrefer default: namespace-not-selected',
    ]);
  });

  it('refers exactly where a reference is wanted and lacking, and gives up exactly what is ours and not wanted', () => {
    const names = fc.constantFrom(isManaged, 'old', 'mine');
    const serviceAccounts = fc.record({
      imagePullSecrets: fc.uniqueArray(names),
      managedReference: fc.option(names, { nil: undefined }),
    });
    fc.assert(
      fc.property(serviceAccounts, fc.boolean(), fc.boolean(), (given, on, selected) => {
        const how = { ...settings, registries: on ? [first] : [], serviceAccounts: selected ? ['*'] : [] };
        const before = account(given);
        const [action] = planActions(seen({ serviceAccounts: [before] }), how);
        const wanted = on && selected;
        assert.equal(action?.kind === 'refer', wanted && needsReference(before));
        assert.equal(action?.kind === 'unrefer', !wanted && before.managedReference === isManaged);
      }),
    );
  });
});

function needsReference({ imagePullSecrets, managedReference }: ServiceAccount): boolean {
  return (
    !imagePullSecrets.includes(isManaged) ||
    (managedReference !== undefined && managedReference !== isManaged)
  );
}
