// Tests that permissions on Secrets of one name are sufficient, on any API server.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { ClusterConfig } from '../../src/kube/client.ts';
import { type SecretMetadata, watchSecretMetadata } from '../../src/kube/secret-metadata.ts';
import { type ApplyOptions, createSecretApi, type SecretApi } from '../../src/kube/secrets.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { eventually } from '../support/eventually.ts';
import {
  buildPullSecret,
  createConfig,
  hasErrorCode,
  secretName,
  type TestApi,
} from './secret-api-fixtures.ts';

const options: ApplyOptions = { fieldManager: 'one', force: false };
const rbacGroup = '/apis/rbac.authorization.k8s.io/v1';

/** Creates an account that may get, list, watch, create and patch Secrets of one name only. Returns its kubeconfig. */
export async function restrictedAccount(server: TestApi): Promise<string> {
  const namespace = await server.createNamespace('account');
  const name = namespace;
  const verbs = ['get', 'list', 'watch', 'create', 'patch'];
  const rules = [{ apiGroups: [''], resources: ['secrets'], resourceNames: [secretName], verbs }];
  await server.request('POST', `${rbacGroup}/clusterroles`, { metadata: { name }, rules });
  await server.request('POST', `${rbacGroup}/clusterrolebindings`, {
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    subjects: [{ kind: 'ServiceAccount', namespace, name }],
  });
  return await server.serviceAccountKubeconfig(namespace, name);
}

describeOnEachApiServer('access to Secrets of one name', accessSuite);

/** What an account that is restricted to one name can do. */
function accessSuite(server: () => TestApi): void {
  let config: ClusterConfig;
  let api: SecretApi;
  let namespace: string;
  before(async () => {
    config = createConfig(await restrictedAccount(server()));
    api = createSecretApi(config);
    namespace = await server().createNamespace('access');
  });
  after(() => config.close());

  it('applies and reads the one name in any namespace, and no other', async () => {
    await api.apply(buildPullSecret(namespace, 'a'), options);
    await api.apply(buildPullSecret(namespace, 'b'), options);
    assert.deepEqual((await api.read(namespace, secretName))?.metadata.labels, { password: 'b' });
    const other = buildPullSecret(namespace, 'a', { name: 'another' });
    await assert.rejects(api.apply(other, options), hasErrorCode('forbidden'));
    await assert.rejects(api.read(namespace, 'another'), hasErrorCode('forbidden'));
  });

  it('names the missing permission in the error', async () => {
    const text =
      /cannot read Secret .+\/another \(forbidden, HTTP 403, User "system:serviceaccount:.+" cannot get resource "secrets"/;
    await assert.rejects(api.read(namespace, 'another'), text);
  });

  it('watches the metadata of the one name in all namespaces, with its owners', async () => {
    const seen = new Map<string, SecretMetadata>();
    const watch = watchSecretMetadata({
      config,
      name: secretName,
      handler: {
        replace: (items) => {
          for (const item of items) {
            seen.set(item.namespace, item);
          }
        },
        set: (item) => void seen.set(item.namespace, item),
        remove: (namespace) => void seen.delete(namespace),
      },
    });
    after(() => watch.stop());
    await watch.start();
    const elsewhere = await server().createNamespace('access');
    const applied = await api.apply(buildPullSecret(elsewhere, 'c', { annotations: { a: 'b' } }), options);
    await eventually('the watch reports the new Secret', () => seen.has(elsewhere));
    const { uid, resourceVersion } = applied.metadata;
    const expected = {
      namespace: elsewhere,
      uid,
      resourceVersion,
      labels: { password: 'c' },
      annotations: { a: 'b' },
      fieldOwners: [
        { manager: 'one', data: ['.dockerconfigjson'], annotations: ['a'], labels: ['password'] },
      ],
    };
    assert.deepEqual(seen.get(elsewhere), expected);
    await server().request('DELETE', `/api/v1/namespaces/${elsewhere}/secrets/${secretName}`);
    await eventually('the watch reports the deletion', () => !seen.has(elsewhere));
    assert.equal(watch.isInSync(), true);
    await watch.stop();
  });

  it('cannot watch another name', async () => {
    const errors: string[] = [];
    const handler = { replace: () => undefined, set: () => undefined, remove: () => undefined };
    const watch = watchSecretMetadata({
      config,
      name: 'another',
      handler,
      onError: ({ code }) => errors.push(code),
    });
    void watch.start();
    await eventually('an error', () => errors.length > 0);
    assert.equal(errors[0], 'forbidden');
    assert.equal(watch.isInSync(), false);
    await watch.stop();
  });
}
