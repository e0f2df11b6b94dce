// Tests what other cluster tests rely on: namespaces, ServiceAccounts, RBAC, warnings and outages of the test cluster.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Cluster } from './cluster.ts';
import { describeOnCluster } from './cluster-suite.ts';
import { createRequest, type Request } from './kube-request.ts';

const allowedName = 'pull';
const apply = { contentType: 'application/apply-patch+yaml' };
const rbacGroup = '/apis/rbac.authorization.k8s.io/v1';

describeOnCluster('the cluster', (cluster) => {
  after(async () => {
    assert.equal(
      (await cluster().request('GET', '/readyz')).status,
      200,
      'the cluster still runs after the hooks of its suite',
    );
  });

  describe('an account restricted to Secrets of one name', () => restrictedAccountSuite(cluster));

  it('reports the version of its API server', async () => {
    const { status, body } = await cluster().request('GET', '/version');
    assert.equal(status, 200);
    assert.equal(getValueAt(body, 'gitVersion'), `v${cluster().version}`);
  });

  it('creates namespaces with unique names and the ServiceAccount default', async () => {
    const [one, two] = await Promise.all([cluster().createNamespace('a'), cluster().createNamespace('a')]);
    assert.match(one, /^a-[0-9a-f]{8}$/);
    assert.notEqual(one, two);
    const path = `/api/v1/namespaces/${two}/serviceaccounts/default`;
    assert.equal((await cluster().request('GET', path)).status, 200);
  });

  it('authenticates a ServiceAccount by its kubeconfig', async () => {
    const namespace = await cluster().createNamespace();
    const request = createRequest(await cluster().serviceAccountKubeconfig(namespace, 'example'));
    const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
    const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
    const { body } = await request('POST', path, review);
    assert.equal(
      getValueAt(body, 'status', 'userInfo', 'username'),
      `system:serviceaccount:${namespace}:example`,
    );
  });

  it('enforces RBAC: an account without a role has no permissions', async () => {
    const namespace = await cluster().createNamespace();
    const request = createRequest(await cluster().serviceAccountKubeconfig(namespace, 'no-roles'));
    for (const path of ['/api/v1/secrets', `/api/v1/namespaces/${namespace}/pods`]) {
      const { status, body } = await request('GET', path);
      assert.deepEqual([status, getValueAt(body, 'reason')], [403, 'Forbidden'], path);
    }
  });

  it('returns the warnings of the API server', async () => {
    const namespace = await cluster().createNamespace();
    const pod = {
      metadata: { name: 'p' },
      spec: { containers: [buildContainer('c')], nodeSelector: { 'beta.kubernetes.io/os': 'x' } },
    };
    const { status, warnings } = await cluster().request('POST', `/api/v1/namespaces/${namespace}/pods`, pod);
    assert.equal(status, 201);
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0] ?? '',
      /^spec\.nodeSelector\[beta\.kubernetes\.io\/os\]: deprecated.*"kubernetes\.io\/os"/,
    );
  });
});

describeOnCluster(
  'an outage of the API server',
  (cluster) => {
    it('refuses connections, and keeps address and data after the restart', async () => {
      const { apiServer, request, createNamespace } = cluster();
      assert.ok(apiServer);
      const namespace = await createNamespace();
      await apiServer.kill();
      await assert.rejects(request('GET', '/version'), { code: 'ECONNREFUSED' });
      await apiServer.restart();
      assert.equal((await request('GET', `/api/v1/namespaces/${namespace}`)).status, 200);
    });
  },
  { ownApiServer: true },
);

// The permissions that the program relies on.
function restrictedAccountSuite(cluster: () => Cluster): void {
  let request: Request;
  let namespaces: readonly string[] = [];
  /** That of the cluster before the Secrets were created. */
  let resourceVersion: unknown;

  before(async () => {
    const home = await cluster().createNamespace();
    request = createRequest(await cluster().serviceAccountKubeconfig(home, 'restricted'));
    await grantAccess(cluster(), home);
    namespaces = [await cluster().createNamespace(), await cluster().createNamespace()];
    const { body } = await cluster().request('GET', '/api/v1/secrets');
    resourceVersion = getValueAt(body, 'metadata', 'resourceVersion');
    for (const namespace of namespaces) {
      assert.equal((await applySecret(cluster().request, namespace, 'other')).status, 201);
    }
  });

  it('may apply that Secret in any namespace, repeatedly', async () => {
    for (const namespace of namespaces) {
      assert.equal((await applySecret(request, namespace, allowedName)).status, 201);
      assert.equal((await applySecret(request, namespace, allowedName)).status, 200);
      assert.equal((await request('GET', secretPath(namespace, allowedName))).status, 200);
    }
  });

  it('may not read, apply or delete another one', async () => {
    for (const namespace of namespaces) {
      assert.equal((await applySecret(request, namespace, 'other')).status, 403);
      assert.equal((await applySecret(request, namespace, 'new')).status, 403);
      assert.equal((await request('GET', secretPath(namespace, 'other'))).status, 403);
      assert.equal((await request('DELETE', secretPath(namespace, allowedName))).status, 403);
    }
  });

  it('may not POST any Secret, not even that one', async () => {
    const [namespace = ''] = namespaces;
    for (const name of [allowedName, 'new']) {
      const { status } = await request('POST', secretPath(namespace, ''), buildSecret(name));
      assert.equal(status, 403, name);
    }
  });

  const only = `fieldSelector=metadata.name%3D${allowedName}`;

  it('may list that name in all namespaces, and no other Secrets', async () => {
    await Promise.all(namespaces.map((namespace) => applySecret(request, namespace, allowedName)));
    const { status, body } = await request('GET', `/api/v1/secrets?${only}`);
    assert.equal(status, 200);
    assert.deepEqual(getNames(body), [allowedName]);
    for (const wider of ['', '?fieldSelector=metadata.name%3Dother', '?fieldSelector=type%3DOpaque']) {
      assert.equal((await request('GET', `/api/v1/secrets${wider}`)).status, 403, wider);
    }
  });

  it('may watch that name, and no other Secrets', async () => {
    // Without a version, the API server of 1.31 sends no events of objects that exist.
    const watch = `watch=true&timeoutSeconds=1&resourceVersion=${resourceVersion}`;
    const { status, body } = await request('GET', `/api/v1/secrets?${watch}&${only}`);
    assert.equal(status, 200);
    assert.match(String(body), /"type":"ADDED".*"name":"pull"/);
    assert.doesNotMatch(String(body), /"name":"other"/);
    assert.equal((await request('GET', `/api/v1/secrets?${watch}`)).status, 403);
  });

  it('may request metadata only', async () => {
    const accept = (kind: string) => ({ accept: `application/json;as=${kind};g=meta.k8s.io;v=v1` });
    const path = `/api/v1/secrets?${only}`;
    const { status, body } = await request('GET', path, undefined, accept('PartialObjectMetadataList'));
    assert.deepEqual([status, getValueAt(body, 'kind')], [200, 'PartialObjectMetadataList']);
    assert.deepEqual(getNames(body), [allowedName]);
    assert.doesNotMatch(JSON.stringify(body), /"data":/);
    const watch = `${path}&watch=true&timeoutSeconds=1&resourceVersion=${resourceVersion}`;
    const events = String((await request('GET', watch, undefined, accept('PartialObjectMetadata'))).body);
    assert.match(events, /"kind":"PartialObjectMetadata"/);
    assert.doesNotMatch(events, /"data":/);
  });
}

async function grantAccess({ request }: Cluster, home: string): Promise<void> {
  const roleName = `one-name-${home}`;
  const verbs = ['get', 'list', 'watch', 'create', 'patch'];
  const role = {
    metadata: { name: roleName },
    rules: [{ apiGroups: [''], resources: ['secrets'], resourceNames: [allowedName], verbs }],
  };
  const binding = {
    metadata: { name: roleName },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: roleName },
    subjects: [{ kind: 'ServiceAccount', name: 'restricted', namespace: home }],
  };
  assert.equal((await request('POST', `${rbacGroup}/clusterroles`, role)).status, 201);
  assert.equal((await request('POST', `${rbacGroup}/clusterrolebindings`, binding)).status, 201);
}

function buildSecret(name: string): object {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, type: 'Opaque', data: { key: 'dmFsdWU=' } };
}

function secretPath(namespace: string, name: string): string {
  return `/api/v1/namespaces/${namespace}/secrets${name && '/'}${name}`;
}

function applySecret(request: Request, namespace: string, name: string) {
  return request('PATCH', `${secretPath(namespace, name)}?fieldManager=test`, buildSecret(name), apply);
}

function buildContainer(name: string): object {
  return { name, image: 'registry.example/app' };
}

function getValueAt(value: unknown, ...keys: string[]): unknown {
  return keys.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null ? Reflect.get(at, key) : undefined),
    value,
  );
}

/** The unique names in a List, which must not be empty. */
function getNames(list: unknown): unknown[] {
  const items = getValueAt(list, 'items');
  assert.ok(Array.isArray(items) && items.length > 0, 'an empty list proves nothing');
  return [...new Set(items.map((item) => getValueAt(item, 'metadata', 'name')))];
}
