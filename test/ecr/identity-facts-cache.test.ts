// Proves what is known of namespaces and ServiceAccounts between the events of watches.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { IdentityFactsCache } from '../../src/ecr/identity-facts-cache.ts';

const annotation = 'eks.amazonaws.com/role-arn';
const roleOf = (name: string) => `arn:aws:iam::123456789012:role/${name}`;
const account = (namespace: string, role?: string) => ({
  namespace,
  name: 'ecr-pull',
  annotations: role === undefined ? {} : { [annotation]: roleOf(role) },
});

function createCache() {
  const clock = { now: 1_000 };
  return { clock, cache: new IdentityFactsCache(() => clock.now) };
}

describe('the labels of a namespace', () => {
  it('are unknown until a watch reports them, and after the namespace was deleted', () => {
    const { cache } = createCache();
    assert.equal(cache.namespaceLabels('team'), undefined);
    cache.setNamespace({ name: 'team', labels: { tier: 'prod' } });
    assert.deepEqual(cache.namespaceLabels('team'), { tier: 'prod' });
    cache.replaceNamespaces([{ name: 'other', labels: {} }]);
    assert.equal(cache.namespaceLabels('team'), undefined);
    assert.deepEqual(cache.namespaceLabels('other'), {});
  });

  it('count as changed only if they were known and differ', () => {
    const { cache, clock } = createCache();
    cache.setNamespace({ name: 'team', labels: { tier: 'prod' } });
    assert.equal(cache.changedAt('team'), undefined);
    const before = cache.changeCount;
    clock.now = 2_000;
    cache.setNamespace({ name: 'team', labels: { tier: 'prod' } });
    assert.deepEqual([cache.changedAt('team'), cache.changeCount], [undefined, before]);
    cache.setNamespace({ name: 'team', labels: { tier: 'prod', more: '' } });
    assert.deepEqual([cache.changedAt('team'), cache.changeCount], [2_000, before + 1]);
    clock.now = 3_000;
    cache.replaceNamespaces([{ name: 'team', labels: {} }]);
    assert.equal(cache.changedAt('team'), 3_000);
  });

  it('count as changed if the namespace appears after the first list, because it may have replaced one of its name', () => {
    const { cache, clock } = createCache();
    cache.replaceNamespaces([{ name: 'team', labels: { tier: 'prod' } }]);
    assert.equal(cache.changedAt('team'), undefined);
    clock.now = 2_000;
    cache.removeNamespace('team');
    assert.equal(cache.changedAt('team'), undefined);
    cache.setNamespace({ name: 'team', labels: { tier: 'test' } });
    assert.equal(cache.changedAt('team'), 2_000);
  });
});

it('keeps the last changes of 20,000 namespaces, although it does not see all of them being deleted', () => {
  const { cache, clock } = createCache();
  cache.replaceServiceAccounts('ecr-pull', []);
  const names = Array.from({ length: 20_001 }, (_, index) => `preview-${index}`);
  for (const name of names) {
    clock.now += 1;
    cache.setServiceAccount(account(name));
    cache.removeServiceAccount(name, 'ecr-pull');
  }
  assert.deepEqual([cache.changedAt('preview-0'), cache.changedAt('preview-20000')], [undefined, clock.now]);
});

describe('a ServiceAccount', () => {
  it('is unknown before the first complete list, and missing after it', () => {
    const { cache } = createCache();
    cache.setServiceAccount(account('team', 'a'));
    assert.deepEqual(cache.serviceAccount('team', 'ecr-pull'), { state: 'unknown' });
    const before = cache.changeCount;
    cache.replaceServiceAccounts('ecr-pull', [account('team', 'a')]);
    assert.ok(cache.changeCount > before);
    assert.deepEqual(cache.serviceAccount('team', 'ecr-pull'), {
      state: 'exists',
      role: { annotation, roleArn: roleOf('a') },
    });
    assert.deepEqual(cache.serviceAccount('other', 'ecr-pull'), { state: 'missing' });
    assert.equal(cache.changedAt('team'), undefined, 'it was not known before');
  });

  it('changes with its annotation, its creation and its deletion', () => {
    const { cache, clock } = createCache();
    cache.replaceServiceAccounts('ecr-pull', [account('team', 'a')]);
    clock.now = 2_000;
    cache.setServiceAccount(account('team', 'b'));
    assert.equal(cache.changedAt('team'), 2_000);
    clock.now = 3_000;
    cache.setServiceAccount(account('team', 'b'));
    assert.equal(cache.changedAt('team'), 2_000, 'the role is the same');
    cache.removeServiceAccount('team', 'ecr-pull');
    assert.equal(cache.changedAt('team'), 3_000);
    clock.now = 4_000;
    cache.replaceServiceAccounts('ecr-pull', [account('team'), account('other')]);
    assert.equal(cache.changedAt('team'), 4_000);
    assert.equal(cache.changedAt('other'), 4_000);
    assert.deepEqual(cache.serviceAccount('team', 'ecr-pull'), { state: 'exists', role: undefined });
    cache.replaceServiceAccounts('ecr-pull', []);
    assert.deepEqual(cache.serviceAccount('team', 'ecr-pull'), { state: 'missing' });
  });
});

describe('waiting for facts', () => {
  it('ends with the change, for all that wait', async () => {
    const { cache } = createCache();
    const isKnown = () => cache.namespaceLabels('team') !== undefined;
    const waits = Promise.all([1, 2].map(() => cache.waitUntil('team', isKnown, 60_000)));
    cache.setNamespace({ name: 'other', labels: {} });
    cache.setNamespace({ name: 'team', labels: {} });
    await waits;
  });

  it('ends after its time for one, and continues for another', async () => {
    const { cache } = createCache();
    const isKnown = () => cache.namespaceLabels('team') !== undefined;
    let isOver = false;
    const longer = cache.waitUntil('team', isKnown, 60_000).then(() => {
      isOver = true;
    });
    await cache.waitUntil('team', isKnown, 1);
    assert.equal(isOver, false);
    cache.setNamespace({ name: 'team', labels: {} });
    await longer;
  });

  it('ends for a ServiceAccount that turns out to be missing', async () => {
    const { cache } = createCache();
    const isKnown = () => cache.serviceAccount('team', 'ecr-pull').state !== 'unknown';
    const wait = cache.waitUntil('team', isKnown, 60_000);
    cache.replaceServiceAccounts('ecr-pull', []);
    await wait;
  });
});
