// Proves what identity rules read from the API server: labels, annotations and tokens, with RBAC on one name.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { type Namespace, watchNamespaces } from '../../src/kube/namespaces.ts';
import type { ResourceEventHandler } from '../../src/kube/resource.ts';
import {
  type AnnotatedServiceAccount,
  watchServiceAccountAnnotations,
} from '../../src/kube/service-account-annotations.ts';
import { createServiceAccountTokenRequester } from '../../src/kube/service-account-tokens.ts';
import { getField, parseJsonOrUndefined } from '../../src/util/json.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import {
  createAccountWithRules,
  createLabelledNamespace,
  createServiceAccount,
} from '../provisioning/provisioning-fixture.ts';
import { eventually } from '../support/eventually.ts';
import type { TestApiServer } from '../support/test-api-server.ts';

const accountName = 'ecr-pull';
const roleAnnotation = 'eks.amazonaws.com/role-arn';
const rules = [
  { apiGroups: [''], resources: ['namespaces'], verbs: ['list', 'watch'] },
  { apiGroups: [''], resources: ['serviceaccounts'], resourceNames: [accountName], verbs: ['list', 'watch'] },
  { apiGroups: [''], resources: ['serviceaccounts/token'], resourceNames: [accountName], verbs: ['create'] },
];

describeOnCluster('what identity rules read from the API server', (cluster) => {
  const connect = async (context: TestContext) => {
    const kubeconfigPath = await createAccountWithRules(cluster(), rules);
    const config = loadKubeConfig({ kubeconfigPath, requestTimeoutMs: 10_000, userAgent: 'test' });
    context.after(() => config.close());
    return config;
  };

  describe('labels of namespaces', () => {
    it('follow changes, without the labels that no rule needs', async (context) => {
      const name = await createLabelledNamespace(cluster(), { tier: 'prod', other: 'x' });
      const observed = new Map<string, Namespace>();
      const watch = watchNamespaces({
        config: await connect(context),
        selection: { selector: '', labelKeys: new Set(['tier']) },
        handler: recordInto(observed, (item) => item.name),
      });
      context.after(() => watch.stop());
      await watch.start();
      assert.deepEqual(observed.get(name)?.labels, { tier: 'prod' });
      await patchMetadata(cluster(), `/api/v1/namespaces/${name}`, { labels: { tier: 'test' } });
      await eventually('the change', () => observed.get(name)?.labels['tier'] === 'test');
      await patchMetadata(cluster(), `/api/v1/namespaces/${name}`, { labels: { tier: null } });
      await eventually(
        'the removal',
        () => Object.keys(observed.get(name)?.labels ?? { tier: '' }).length === 0,
      );
    });
  });

  describe('annotations of ServiceAccounts', () => {
    it('follow changes of the ServiceAccounts of one name', async (context) => {
      const namespace = await cluster().createNamespace();
      await createServiceAccount(cluster(), namespace, 'other');
      const observed = new Map<string, AnnotatedServiceAccount>();
      const watch = watchServiceAccountAnnotations({
        config: await connect(context),
        name: accountName,
        keys: new Set([roleAnnotation]),
        handler: recordInto(observed, (item) => `${item.namespace}/${item.name}`),
      });
      context.after(() => watch.stop());
      await watch.start();
      assert.equal(observed.has(`${namespace}/other`), false);
      await createServiceAccount(cluster(), namespace, accountName);
      const annotation = () => observed.get(`${namespace}/${accountName}`)?.annotations[roleAnnotation];
      const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${accountName}`;
      const role = 'arn:aws:iam::123456789012:role/team';
      await patchMetadata(cluster(), path, { annotations: { [roleAnnotation]: role, other: 'x' } });
      await eventually('the annotation', () => annotation() === role);
      assert.deepEqual(Object.keys(observed.get(`${namespace}/${accountName}`)?.annotations ?? {}), [
        roleAnnotation,
      ]);
      await cluster().request('DELETE', path);
      await eventually('the deletion', () => !observed.has(`${namespace}/${accountName}`));
    });
  });

  describe('tokens of ServiceAccounts', () => {
    it('are for the ServiceAccount and the audience', async (context) => {
      const namespace = await cluster().createNamespace();
      await createServiceAccount(cluster(), namespace, accountName);
      const requestToken = createServiceAccountTokenRequester(await connect(context));
      const token = await requestToken(namespace, accountName, 'sts.amazonaws.com');
      const claims = parseJsonOrUndefined(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
      assert.equal(getField(claims, 'sub'), `system:serviceaccount:${namespace}:${accountName}`);
      assert.deepEqual(getField(claims, 'aud'), ['sts.amazonaws.com']);
    });

    it('are refused for another name, and reported missing without a ServiceAccount', async (context) => {
      const namespace = await cluster().createNamespace();
      await createServiceAccount(cluster(), namespace, 'other');
      const requestToken = createServiceAccountTokenRequester(await connect(context));
      await assert.rejects(requestToken(namespace, 'other', 'sts.amazonaws.com'), { code: 'forbidden' });
      await assert.rejects(requestToken(namespace, accountName, 'sts.amazonaws.com'), { code: 'not-found' });
    });
  });
});

function recordInto<T>(observed: Map<string, T>, getKey: (item: T) => string): ResourceEventHandler<T> {
  return {
    replace: (items) => {
      observed.clear();
      for (const item of items) {
        observed.set(getKey(item), item);
      }
    },
    set: (item) => void observed.set(getKey(item), item),
    remove: ({ namespace, name }) => void observed.delete(namespace === '' ? name : `${namespace}/${name}`),
  };
}

async function patchMetadata(apiServer: TestApiServer, path: string, metadata: object): Promise<void> {
  const { status } = await apiServer.request(
    'PATCH',
    path,
    { metadata },
    { contentType: 'application/merge-patch+json' },
  );
  assert.equal(status, 200);
}
