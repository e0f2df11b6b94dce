// Tests which pods the fence lets the program delete, on a real API server.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { createRequest, type Request } from '../cluster/kube-request.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, podWith, restrictedPod } from '../support/pods.ts';
import { describeChartOnCluster } from './chart-suite.ts';
import { registry } from './install-modes.ts';
import { getLocalProgramValues } from './local-program.ts';
import { createRelease, type Release } from './release.ts';
import { getValueAt } from './rendered-objects.ts';

const image = `${registry}/app:1`;
const owner = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'cart', uid: 'cart' };
const controlled = [{ ...owner, controller: true }];

describeChartOnCluster('the fence around deletions of pods', (cluster, helm) => {
  let release: Release;
  let asProgram: Request;
  before(async () => {
    release = await createRelease(cluster(), helm());
    await release.install(
      getLocalProgramValues({
        injection: 'webhook',
        namespaces: { exclude: ['lab'] },
        config: { catchUp: { evict: true } },
      }),
    );
    asProgram = createRequest(await release.kubeconfig());
    const namespace = await cluster().createNamespace();
    await eventually('the fence is in effect', async () => {
      const { status, body } = await deletePod(namespace, { ownerReferences: [] });
      return status === 403 && JSON.stringify(body).includes('ecr-pull-secrets-fence-evictions');
    });
  });
  after(() => release?.uninstall());

  /** Creates a pod, and deletes it as the program. */
  async function deletePod(
    namespace: string,
    { ownerReferences = controlled as object[], spec = {}, phase = 'Pending' } = {},
  ) {
    const pod = namespace === release.namespace ? restrictedPod(image) : podWith([image], spec);
    const { name } = pod.metadata;
    const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
    const created = await createPod(cluster(), namespace, {
      ...pod,
      metadata: { name, ownerReferences } as never,
    });
    assert.equal(created.status, 201, JSON.stringify(created.body));
    if (phase !== 'Pending') {
      const { status } = await cluster().request('PUT', `${path}/status`, {
        ...Object(created.body),
        status: { phase },
      });
      assert.equal(status, 200);
    }
    return await asProgram('DELETE', path);
  }

  it('lets the program delete a pending pod that has a controller and no reference', async () => {
    const imagePullSecrets = [{ name: 'another' }];
    for (const spec of [{}, { imagePullSecrets }]) {
      const { status, body } = await deletePod(await cluster().createNamespace(), { spec });
      assert.equal(status, 200, JSON.stringify(body));
    }
  });

  const refused: [string, Parameters<typeof deletePod>[1]][] = [
    ['that runs', { phase: 'Running' }],
    ['without an owner', { ownerReferences: [] }],
    ['whose owner is no controller', { ownerReferences: [owner] }],
    ['with the reference', { spec: { imagePullSecrets: [{ name: 'ecr-pull-secrets' }] } }],
  ];
  for (const [name, options] of refused) {
    it(`refuses the deletion of a pod ${name}`, async () => {
      const { status, body } = await deletePod(await cluster().createNamespace(), options);
      assert.equal(status, 403, JSON.stringify(body));
      assert.match(
        getValueAt(body, 'message'),
        /may only delete pending pods that have a controller and no reference/,
      );
    });
  }

  it('refuses the deletion of pods in namespaces that are excluded, or that opted out', async () => {
    const create = (name: string, labels: Record<string, string>) =>
      cluster().request('POST', '/api/v1/namespaces', { metadata: { name, labels } });
    await create('lab', {});
    await create('opted-out', { 'ecr-pull-secrets.io/inject': 'false' });
    for (const namespace of ['lab', 'opted-out', 'kube-system', release.namespace]) {
      const { status, body } = await deletePod(namespace);
      assert.equal(status, 403, JSON.stringify(body));
      assert.match(
        getValueAt(body, 'message'),
        /may not delete pods in namespace .+, which is (excluded|not selected)/,
      );
    }
  });

  it('refuses to delete a collection of pods, even if the permission was granted by mistake', async () => {
    const namespace = await cluster().createNamespace();
    await createPod(cluster(), namespace, podWith([image]));
    const rbac = '/apis/rbac.authorization.k8s.io/v1';
    await cluster().request('POST', `${rbac}/clusterrolebindings`, {
      metadata: { name: 'excessive-permissions' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', name: 'ecr-pull-secrets', namespace: release.namespace }],
    });
    await eventually('the program may read pods', async () => {
      return (await asProgram('GET', `/api/v1/namespaces/${namespace}/pods`)).status === 200;
    });
    const { status } = await asProgram('DELETE', `/api/v1/namespaces/${namespace}/pods`);
    assert.equal(status, 403);
  });
});
