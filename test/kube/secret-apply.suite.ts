// Tests server-side apply of Secrets: ownership of fields, conflicts and preconditions, on any API server.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { ClusterConfig } from '../../src/kube/client.ts';
import {
  type ApplyOptions,
  createSecretApi,
  type SecretApi,
  type SecretObject,
} from '../../src/kube/secrets.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import {
  buildPullSecret,
  createConfig,
  getValueAt,
  hasErrorCode,
  secretName,
  type TestApi,
} from './secret-api-fixtures.ts';

const one: ApplyOptions = { fieldManager: 'one', force: false };
const two: ApplyOptions = { fieldManager: 'two', force: false };
const forced: ApplyOptions = { fieldManager: 'two', force: true };
const unknownUid = '00000000-0000-4000-8000-000000000000';

describeOnEachApiServer('applied Secrets', applySuite);

/** What server-side apply and reads do, on any API server. */
function applySuite(server: () => TestApi): void {
  let config: ClusterConfig;
  let api: SecretApi;
  let namespace: string;
  const read = async (): Promise<SecretObject> => {
    const secret = await api.read(namespace, secretName);
    assert.ok(secret);
    return secret;
  };
  before(() => {
    config = createConfig(server().kubeconfigPath);
    api = createSecretApi(config);
  });
  after(() => config.close());
  const test = (name: string, body: () => Promise<void>): void => {
    it(name, async () => {
      namespace = await server().createNamespace('apply');
      await body();
    });
  };

  test('a missing Secret is read as undefined, and created by the first apply', async () => {
    assert.equal(await api.read(namespace, secretName), undefined);
    const applied = await api.apply(buildPullSecret(namespace, 'a'), one);
    assert.ok(applied.metadata.uid && applied.metadata.resourceVersion);
    const fieldOwners = [
      { manager: 'one', data: ['.dockerconfigjson'], annotations: [], labels: ['password'] },
    ];
    assert.deepEqual(
      { ...applied, metadata: {} },
      { ...buildPullSecret(namespace, 'a'), metadata: {}, fieldOwners },
    );
    assert.deepEqual(await read(), applied);
  });

  test('applying the same content again changes nothing, not even the resourceVersion', async () => {
    const first = await api.apply(buildPullSecret(namespace, 'a'), one);
    assert.deepEqual(await api.apply(buildPullSecret(namespace, 'a'), one), first);
  });

  test('a change keeps the uid, and removes fields that are no longer applied', async () => {
    const annotations = { kept: 'yes', dropped: 'soon' };
    const first = await api.apply(buildPullSecret(namespace, 'a', { annotations }), one);
    const next = await api.apply(buildPullSecret(namespace, 'b', { annotations: { kept: 'yes' } }), one);
    assert.equal(next.metadata.uid, first.metadata.uid);
    assert.deepEqual(next.metadata.annotations, { kept: 'yes' });
    assert.deepEqual(next.metadata.labels, { password: 'b' });
  });

  test('a field that two managers own is kept when one of them no longer applies it', async () => {
    await api.apply(buildPullSecret(namespace, 'a', { annotations: { shared: 'yes' } }), one);
    await api.apply(buildPullSecret(namespace, 'a', { annotations: { shared: 'yes', own: 'two' } }), two);
    await api.apply(buildPullSecret(namespace, 'a'), one);
    assert.deepEqual((await read()).metadata.annotations, { shared: 'yes', own: 'two' });
  });

  test('a second manager conflicts if its value differs, and shares the field otherwise', async () => {
    const first = await api.apply(buildPullSecret(namespace, 'a'), one);
    await assert.rejects(api.apply(buildPullSecret(namespace, 'b'), two), hasErrorCode('conflict'));
    assert.deepEqual(await read(), first);
    const shared = await api.apply(buildPullSecret(namespace, 'a'), two);
    assert.equal(shared.metadata.uid, first.metadata.uid);
    await assert.rejects(api.apply(buildPullSecret(namespace, 'b'), one), hasErrorCode('conflict'));
  });

  test('force takes over the fields, and then the first manager conflicts', async () => {
    await api.apply(buildPullSecret(namespace, 'a'), one);
    assert.deepEqual((await api.apply(buildPullSecret(namespace, 'b'), forced)).metadata.labels, {
      password: 'b',
    });
    await assert.rejects(api.apply(buildPullSecret(namespace, 'a'), one), hasErrorCode('conflict'));
  });

  test('a conflict names managers and fields, and a creation by POST counts as an update', async () => {
    const path = `/api/v1/namespaces/${namespace}/secrets`;
    const data = { k: 'dg==' };
    await server().request('POST', `${path}?fieldManager=poster`, {
      metadata: { name: secretName, labels: { a: '1' } },
      data,
    });
    const body = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: secretName, labels: { a: '2' } },
      data: { k: 'dw==' },
    };
    const options = { contentType: 'application/apply-patch+yaml' };
    const { status, body: responseBody } = await server().request(
      'PATCH',
      `${path}/${secretName}?fieldManager=one`,
      body,
      options,
    );
    assert.equal(status, 409);
    const message = 'conflict with "poster" using v1';
    const reason = 'FieldManagerConflict';
    assert.deepEqual(getValueAt(responseBody, 'details', 'causes'), [
      { reason, message, field: '.data.k' },
      { reason, message, field: '.metadata.labels.a' },
    ]);
    assert.equal(
      getValueAt(responseBody, 'message'),
      'Apply failed with 2 conflicts: conflicts with "poster" using v1:\n- .data.k\n- .metadata.labels.a',
    );
  });

  test('a stale resourceVersion conflicts even with force, and creates a missing Secret', async () => {
    const { metadata } = await api.apply(buildPullSecret(namespace, 'a'), one);
    const { resourceVersion = '' } = metadata;
    await api.apply(buildPullSecret(namespace, 'b'), one);
    await assert.rejects(
      api.apply(buildPullSecret(namespace, 'c', { resourceVersion }), forced),
      hasErrorCode('conflict'),
    );
    const elsewhere = await server().createNamespace('apply');
    const created = await api.apply(buildPullSecret(elsewhere, 'c', { resourceVersion }), forced);
    assert.deepEqual(created.metadata.labels, { password: 'c' });
  });

  test('an apply with a uid only updates, and conflicts if the Secret is missing or another one', async () => {
    const stranger = buildPullSecret(namespace, 'a', { uid: unknownUid });
    await assert.rejects(api.apply(stranger, forced), hasErrorCode('conflict'));
    await assert.rejects(
      api.apply(buildPullSecret(namespace, 'a', { uid: unknownUid, resourceVersion: '1' }), forced),
      hasErrorCode('conflict'),
    );
    assert.equal(await api.read(namespace, secretName), undefined);
    const { metadata } = await api.apply(buildPullSecret(namespace, 'a'), one);
    await assert.rejects(api.apply(stranger, forced), hasErrorCode('conflict'));
    const { uid = '', resourceVersion = '' } = metadata;
    const next = await api.apply(buildPullSecret(namespace, 'b', { uid, resourceVersion }), forced);
    assert.equal(next.metadata.uid, uid);
  });

  test('one of eight managers that create different content at once succeeds', async () => {
    const managers = Array.from({ length: 8 }, (_, index) => `manager-${index}`);
    const results = await Promise.allSettled(
      managers.map((fieldManager) =>
        api.apply(buildPullSecret(namespace, fieldManager), { fieldManager, force: false }),
      ),
    );
    const winners = results.filter(({ status }) => status === 'fulfilled');
    assert.equal(winners.length, 1);
    for (const result of results) {
      if (result.status === 'rejected') {
        hasErrorCode('conflict')(result.reason);
      }
    }
  });
}
