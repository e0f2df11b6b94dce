// Tests that references of ServiceAccounts are added and removed without losing concurrent changes, on any API server.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { ClusterConfig } from '../../src/kube/client.ts';
import { createSecretApi, deleteSecret } from '../../src/kube/secrets.ts';
import {
  addReference,
  createAddReferencePatch,
  removeReference,
} from '../../src/kube/service-account-references.ts';
import { createServiceAccountApi, type ServiceAccountApi } from '../../src/kube/service-accounts.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import {
  buildPullSecret,
  createConfig,
  getValueAt,
  hasErrorCode,
  secretName,
  type TestApi,
} from './secret-api-fixtures.ts';

describeOnEachApiServer('references of ServiceAccounts', referencesSuite);

/** References of ServiceAccounts, and the deletion of a Secret, on any API server. */
function referencesSuite(server: () => TestApi): void {
  let config: ClusterConfig;
  let api: ServiceAccountApi;
  before(() => {
    config = createConfig(server().kubeconfigPath);
    api = createServiceAccountApi(config);
  });
  after(() => config.close());
  const path = (namespace: string): string => `/api/v1/namespaces/${namespace}/serviceaccounts/default`;
  const change = async (namespace: string, fields: object, annotations: object = {}): Promise<void> => {
    const body = { ...fields, metadata: { annotations } };
    const options = { contentType: 'application/merge-patch+json' };
    const { status } = await server().request('PATCH', path(namespace), body, options);
    assert.equal(status, 200);
  };
  const stored = async (namespace: string): Promise<unknown> => {
    const { body } = await server().request('GET', path(namespace));
    return [getValueAt(body, 'imagePullSecrets'), getValueAt(body, 'metadata', 'annotations')];
  };
  const annotation = 'ecr-pull-secrets.io/pull-secret';

  it('adds a reference without a list, and removes list and annotation again', async () => {
    const namespace = await server().createNamespace('reference');
    assert.equal((await addReference(api, namespace, 'default', secretName)).changed, true);
    assert.deepEqual(await stored(namespace), [[{ name: secretName }], { [annotation]: secretName }]);
    assert.equal((await addReference(api, namespace, 'default', secretName)).changed, false);
    assert.equal((await removeReference(api, namespace, 'default')).changed, true);
    const [list, annotations] = (await stored(namespace)) as [unknown, object | undefined];
    assert.deepEqual([list, Object.keys(annotations ?? {})], [undefined, []]);
    assert.equal((await removeReference(api, namespace, 'default')).changed, false);
  });

  it('keeps other entries in order, even without a name, and other annotations', async () => {
    const namespace = await server().createNamespace('reference');
    const others = [{ name: 'one' }, {}, { name: 'two' }];
    await change(namespace, { imagePullSecrets: others }, { mine: 'yes' });
    await addReference(api, namespace, 'default', secretName);
    const with_ = [...others, { name: secretName }];
    assert.deepEqual(await stored(namespace), [with_, { mine: 'yes', [annotation]: secretName }]);
    await removeReference(api, namespace, 'default');
    assert.deepEqual(await stored(namespace), [others, { mine: 'yes' }]);
  });

  it('does not claim or remove a reference of a user', async () => {
    const namespace = await server().createNamespace('reference');
    await change(namespace, { imagePullSecrets: [{ name: secretName }, { name: 'one' }] }, { mine: 'yes' });
    const before = await stored(namespace);
    assert.equal((await addReference(api, namespace, 'default', secretName)).changed, false);
    assert.equal((await removeReference(api, namespace, 'default')).changed, false);
    assert.deepEqual(await stored(namespace), before);
  });

  it('rejects a patch of an old version, and loses nothing to a concurrent change', async () => {
    const namespace = await server().createNamespace('reference');
    const old = await api.read(namespace, 'default');
    assert.ok(old);
    await change(namespace, { imagePullSecrets: [{ name: 'one' }] });
    await assert.rejects(
      api.patch(old, createAddReferencePatch(old, secretName) ?? []),
      hasErrorCode('invalid'),
    );
    let races = 0;
    const raced: ServiceAccountApi = {
      ...api,
      read: async (...which) => {
        const account = await api.read(...which);
        races += 1;
        if (races <= 2) {
          const list = ['one', 'two', 'three'].slice(0, races + 1).map((name) => ({ name }));
          await change(namespace, { imagePullSecrets: list });
        }
        return account;
      },
    };
    await addReference(raced, namespace, 'default', secretName);
    assert.equal(races, 3);
    const names = [{ name: 'one' }, { name: 'two' }, { name: 'three' }, { name: secretName }];
    assert.deepEqual(await stored(namespace), [names, { [annotation]: secretName }]);
  });

  it('results in one reference when replicas add it concurrently', async () => {
    const namespace = await server().createNamespace('reference');
    await Promise.all(Array.from({ length: 3 }, () => addReference(api, namespace, 'default', secretName)));
    assert.deepEqual(await stored(namespace), [[{ name: secretName }], { [annotation]: secretName }]);
  });

  it('gives up after repeated conflicts, and returns undefined for a missing ServiceAccount', async () => {
    const namespace = await server().createNamespace('reference');
    let tries = 0;
    const losing: ServiceAccountApi = {
      ...api,
      patch: async (account, patch) => {
        tries += 1;
        await change(namespace, {}, { [`n${tries}`]: 'x' });
        return await api.patch(account, patch);
      },
    };
    await assert.rejects(addReference(losing, namespace, 'default', secretName), hasErrorCode('invalid'));
    assert.equal(tries, 5);
    assert.deepEqual(await addReference(api, namespace, 'none', secretName), {
      serviceAccount: undefined,
      changed: false,
    });
  });

  it('deletes only the Secret that was read, and accepts that it is already deleted', async () => {
    const namespace = await server().createNamespace('reference');
    const secrets = createSecretApi(config);
    const options = { fieldManager: 'one', force: false };
    const first = await secrets.apply(buildPullSecret(namespace, 'a'), options);
    const second = await secrets.apply(buildPullSecret(namespace, 'b'), options);
    await assert.rejects(deleteSecret(config, first), hasErrorCode('conflict'));
    await deleteSecret(config, second);
    assert.equal(await secrets.read(namespace, secretName), undefined);
    await deleteSecret(config, second);
  });
}
