import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { ClusterConfig } from '../../src/kube/client.ts';
import { type SecretMetadata, watchSecretMetadata } from '../../src/kube/secret-metadata.ts';
import { type ApplyOptions, type SecretApi, secretApi } from '../../src/kube/secrets.ts';
import { eventually } from '../support/eventually.ts';
import { configOf, failsWith, NAME, pullSecret, type Server } from './secret-api-fixtures.ts';

const options: ApplyOptions = { fieldManager: 'one', force: false };
const RBAC = '/apis/rbac.authorization.k8s.io/v1';

/** Makes an account whose only right on Secrets is get, list, watch, create and patch on one name; gives its kubeconfig. */
export async function restrictedAccount(server: Server): Promise<string> {
  const namespace = await server.createNamespace('account');
  const name = namespace;
  const verbs = ['get', 'list', 'watch', 'create', 'patch'];
  const rules = [{ apiGroups: [''], resources: ['secrets'], resourceNames: [NAME], verbs }];
  await server.request('POST', `${RBAC}/clusterroles`, { metadata: { name }, rules });
  await server.request('POST', `${RBAC}/clusterrolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    subjects: [{ kind: 'ServiceAccount', namespace, name }],
  });
  return await server.serviceAccountKubeconfig(namespace, name);
}

/** What an account that is restricted to one name can do, on any API server. */
export function accessSuite(server: () => Server): void {
  let config: ClusterConfig;
  let api: SecretApi;
  let namespace: string;
  before(async () => {
    config = configOf(await restrictedAccount(server()));
    api = secretApi(config);
    namespace = await server().createNamespace('access');
  });
  after(() => config.close());

  it('applies and reads the one name in any namespace, and no other', async () => {
    await api.apply(pullSecret(namespace, 'a'), options);
    await api.apply(pullSecret(namespace, 'b'), options);
    assert.deepEqual((await api.read(namespace, NAME))?.metadata.labels, { password: 'b' });
    const other = pullSecret(namespace, 'a', { name: 'another' });
    await assert.rejects(api.apply(other, options), failsWith('forbidden'));
    await assert.rejects(api.read(namespace, 'another'), failsWith('forbidden'));
  });

  it('says in the error which right is missing', async () => {
    const text =
      /cannot read Secret .+\/another \(forbidden, HTTP 403, User "system:serviceaccount:.+" cannot get resource "secrets"/;
    await assert.rejects(api.read(namespace, 'another'), text);
  });

  it('follows the metadata of the one name in all namespaces, and who wrote it', async () => {
    const seen = new Map<string, SecretMetadata>();
    const watch = watchSecretMetadata({
      config,
      name: NAME,
      sink: {
        replace: (items) => {
          for (const item of items) seen.set(item.namespace, item);
        },
        set: (item) => void seen.set(item.namespace, item),
        remove: (gone) => void seen.delete(gone),
      },
    });
    after(() => watch.stop());
    await watch.start();
    const elsewhere = await server().createNamespace('access');
    const applied = await api.apply(pullSecret(elsewhere, 'c', { annotations: { a: 'b' } }), options);
    await eventually('the watch reports the new Secret', () => seen.has(elsewhere));
    const { uid, resourceVersion } = applied.metadata;
    const expected = {
      namespace: elsewhere,
      uid,
      resourceVersion,
      labels: { password: 'c' },
      annotations: { a: 'b' },
      owners: [{ manager: 'one', data: ['.dockerconfigjson'], annotations: ['a'] }],
    };
    assert.deepEqual(seen.get(elsewhere), expected);
    await server().request('DELETE', `/api/v1/namespaces/${elsewhere}/secrets/${NAME}`);
    await eventually('the watch reports the deletion', () => !seen.has(elsewhere));
    assert.equal(watch.inSync(), true);
    await watch.stop();
  });

  it('cannot follow another name', async () => {
    const errors: string[] = [];
    const sink = { replace: () => undefined, set: () => undefined, remove: () => undefined };
    const watch = watchSecretMetadata({
      config,
      name: 'another',
      sink,
      onError: ({ code }) => errors.push(code),
    });
    void watch.start();
    await eventually('an error', () => errors.length > 0);
    assert.equal(errors[0], 'forbidden');
    assert.equal(watch.inSync(), false);
    await watch.stop();
  });
}
