import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseEcrHost, type Registry } from '../../src/ecr/registry.ts';
import type { ServiceAccount } from '../../src/kube/service-accounts.ts';
import { planOf, type Seen } from '../../src/provisioning/provisioning-plan.ts';
import type { Settings } from '../../src/provisioning/provisioning-settings.ts';

const ours = 'ecr-pull-secrets';

function registry(region: string): Registry {
  const parsed = parseEcrHost(`123456789012.dkr.ecr.${region}.amazonaws.com`);
  assert.ok(parsed);
  return parsed;
}

const [first, second] = [registry('eu-central-1'), registry('us-east-1')];

const settings: Settings = {
  secretName: ours,
  registries: [first, second],
  namespaces: [],
  selector: '',
  excluded: ['lab-*'],
  onlyByName: ['kube-*'],
  serviceAccounts: ['default'],
};

function account(more: Partial<ServiceAccount> = {}): ServiceAccount {
  const where = { namespace: 'shop', name: 'default', uid: 'u', resourceVersion: '1' };
  return { ...where, pullSecrets: [], reference: undefined, annotated: false, ...more };
}

const referring = account({ pullSecrets: [ours], reference: ours, annotated: true });

const complete = {
  ours: true,
  hosts: new Map([first, second].map(({ host }) => [host, undefined])),
};

/** A namespace that has all that is wanted, but for what is given. */
function seen(more: Partial<Seen> = {}): Seen {
  const name = more.name ?? 'shop';
  return {
    name,
    namespace: { name, terminating: false },
    secret: complete,
    accounts: [referring],
    ...more,
  };
}

function told(what: Partial<Seen>, how: Partial<Settings> = {}): string[] {
  return planOf(seen(what), { ...settings, ...how }).map((action) =>
    action.kind === 'ensure'
      ? `ensure ${action.registries.map(({ region }) => region)}: ${action.reason}`
      : `${action.kind} ${action.serviceAccount}: ${action.reason}`,
  );
}

describe('the plan for a namespace', () => {
  it('has nothing to do where all is there', () => {
    assert.deepEqual(told({}), []);
  });

  it('asks for the Secret, or for the hosts that it does not name', () => {
    assert.deepEqual(told({ secret: undefined }), ['ensure eu-central-1,us-east-1: no-secret']);
    const secret = { ours: true, hosts: new Map([[first.host, undefined]]) };
    assert.deepEqual(told({ secret }), ['ensure us-east-1: host-missing']);
    assert.deepEqual(told({ secret: { ...complete, ours: false } }), [
      'ensure eu-central-1,us-east-1: foreign-secret',
    ]);
    assert.deepEqual(told({ secret: { ...complete, ours: false, handedOver: true } }), []);
  });

  it('asks for references that are not there, or that are to another Secret', () => {
    assert.deepEqual(told({ accounts: [account()] }), ['refer default: no-reference']);
    const old = account({ pullSecrets: ['old'], reference: 'old', annotated: true });
    assert.deepEqual(told({ accounts: [old] }), ['refer default: other-secret']);
    const lost = account({ pullSecrets: ['mine'], reference: ours, annotated: true });
    assert.deepEqual(told({ accounts: [lost] }), ['refer default: no-reference']);
  });

  it('takes accounts by name or pattern', () => {
    const accounts = [account(), account({ name: 'builder' })];
    assert.deepEqual(told({ accounts }), ['refer default: no-reference']);
    assert.deepEqual(told({ accounts }, { serviceAccounts: ['*'] }), [
      'refer default: no-reference',
      'refer builder: no-reference',
    ]);
    assert.deepEqual(told({ accounts }, { serviceAccounts: [] }), []);
  });

  it('gives up references that we added and that are no longer wanted, and says why', () => {
    assert.deepEqual(told({}, { registries: [] }), ['unrefer default: mode-off']);
    assert.deepEqual(told({}, { serviceAccounts: [] }), ['unrefer default: account-not-selected']);
    assert.deepEqual(told({}, { namespaces: ['cart-*'] }), ['unrefer default: namespace-not-selected']);
    assert.deepEqual(told({ namespace: undefined }), ['unrefer default: namespace-not-selected']);
  });

  it('leaves references that another installation added, to a Secret of another name', () => {
    const theirs = account({ pullSecrets: ['theirs'], reference: 'theirs', annotated: true });
    const ways: Partial<Settings>[] = [{ registries: [] }, { serviceAccounts: [] }, { namespaces: ['x'] }];
    for (const how of ways) {
      assert.deepEqual(told({ accounts: [theirs] }, how), []);
    }
  });

  it('never gives up a reference that a person wrote', () => {
    const byHand = account({ pullSecrets: [ours] });
    const ways: Partial<Settings>[] = [{ registries: [] }, { serviceAccounts: [] }, { namespaces: ['x'] }];
    for (const how of ways) {
      assert.deepEqual(told({ accounts: [byHand] }, how), []);
    }
  });

  it('leaves namespaces alone that are excluded or being deleted', () => {
    const lacking = { secret: undefined, accounts: [account(), referring] };
    assert.deepEqual(told({ ...lacking, namespace: { name: 'shop', terminating: true } }), []);
    assert.deepEqual(told({ ...lacking, name: 'lab-1' }), []);
    assert.deepEqual(told({ ...lacking, name: 'lab-1' }, { registries: [] }), []);
    assert.deepEqual(told({ ...lacking, name: 'lab-1' }, { namespaces: ['lab-1'] }), []);
  });

  it('selects a namespace that is excluded from admission only by its name', () => {
    const lacking = { name: 'kube-system', secret: undefined, accounts: [account()] };
    const all = ['ensure eu-central-1,us-east-1: no-secret', 'refer default: no-reference'];
    assert.deepEqual(told(lacking, { namespaces: ['shop', 'kube-system'] }), all);
    for (const namespaces of [[], ['*'], ['kube-*'], ['shop']]) {
      assert.deepEqual(told(lacking, { namespaces }), [], `${namespaces}`);
    }
    const referred = { ...lacking, accounts: [referring] };
    assert.deepEqual(told(referred, { namespaces: ['shop'] }), ['unrefer default: namespace-not-selected']);
  });

  it('refers exactly where a reference is wanted and lacking, and gives up exactly what is ours and not wanted', () => {
    const names = fc.constantFrom(ours, 'old', 'mine');
    const accounts = fc.record({
      pullSecrets: fc.uniqueArray(names),
      reference: fc.option(names, { nil: undefined }),
    });
    fc.assert(
      fc.property(accounts, fc.boolean(), fc.boolean(), (given, on, selected) => {
        const how = { ...settings, registries: on ? [first] : [], serviceAccounts: selected ? ['*'] : [] };
        const before = account(given);
        const [action] = planOf(seen({ accounts: [before] }), how);
        const wanted = on && selected;
        assert.equal(action?.kind === 'refer', wanted && needsReference(before));
        assert.equal(action?.kind === 'unrefer', !wanted && before.reference === ours);
      }),
    );
  });
});

function needsReference({ pullSecrets, reference }: ServiceAccount): boolean {
  return !pullSecrets.includes(ours) || (reference !== undefined && reference !== ours);
}
