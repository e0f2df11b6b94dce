import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { Answer, Request } from '../cluster/request.ts';
import { requestWith } from '../cluster/request.ts';
import { eventually } from '../support/eventually.ts';
import { besideValues } from './beside.ts';
import { registry } from './modes.ts';
import { at } from './objects.ts';
import { newRelease, type Release } from './release.ts';
import { describeChartOnCluster } from './suite.ts';

const rbac = '/apis/rbac.authorization.k8s.io/v1';
const type = 'kubernetes.io/dockerconfigjson';
const label = { 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' };
const data = { '.dockerconfigjson': btoa('{"auths":{}}') };
const annotation = 'ecr-pull-secrets.io/pull-secret';

/** The program's account, as if somebody had granted it far too much. */
describeChartOnCluster("the fence around the program's own account", (cluster, helm) => {
  let release: Release;
  let ours: Request;
  let namespace: string;
  before(async () => {
    release = await newRelease(cluster(), helm());
    await release.install(besideValues({ config: { provisioning: { registries: [registry] } } }));
    ours = requestWith(await release.kubeconfig());
    await cluster().request('POST', `${rbac}/clusterrolebindings`, {
      metadata: { name: 'far-too-much' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
      subjects: [{ kind: 'ServiceAccount', name: 'ecr-pull-secrets', namespace: release.namespace }],
    });
    namespace = await cluster().createNamespace();
    await eventually('the fence is up, and the rights are there', async () => {
      const { status, body } = await applySecret('probe', {});
      return status === 403 && JSON.stringify(body).includes('fence');
    });
  });
  after(() => release?.uninstall());

  const secretPath = (name: string, of = namespace) => `/api/v1/namespaces/${of}/secrets/${name}`;
  const accountPath = () => `/api/v1/namespaces/${namespace}/serviceaccounts/default`;
  function applySecret(
    name: string,
    { labels = label as object, kind = type, of = namespace } = {},
  ): Promise<Answer> {
    const object = { apiVersion: 'v1', kind: 'Secret', metadata: { name, labels }, type: kind, data };
    const how = { contentType: 'application/apply-patch+yaml' };
    return ours('PATCH', `${secretPath(name, of)}?fieldManager=ecr-pull-secrets&force=true`, object, how);
  }
  const patchAccount = (patch: unknown) =>
    ours('PATCH', accountPath(), patch, { contentType: 'application/json-patch+json' });
  const refused = ({ status, body }: Answer, why: RegExp) => {
    assert.equal(status, 403, JSON.stringify(body));
    assert.match(at(body, 'message'), /ecr-pull-secrets-fence/);
    assert.match(at(body, 'message'), why);
  };

  it('lets it make and change our Secret', async () => {
    assert.equal((await applySecret('ecr-pull-secrets')).status, 201);
    assert.equal((await applySecret('ecr-pull-secrets')).status, 200);
  });

  it('refuses another name, another type, no label, and POST under another name', async () => {
    const of = await cluster().createNamespace();
    const why = /writes only Secrets of its name, type and label/;
    refused(await applySecret('another'), why);
    refused(await applySecret('ecr-pull-secrets', { of, kind: 'Opaque' }), why);
    refused(await applySecret('ecr-pull-secrets', { of, labels: {} }), why);
    const posted = { metadata: { generateName: 'x-', labels: label }, type, data };
    refused(await ours('POST', `/api/v1/namespaces/${of}/secrets`, posted), why);
  });

  it('refuses to change a Secret of our name that somebody else made', async () => {
    const of = await cluster().createNamespace();
    const foreign = { metadata: { name: 'ecr-pull-secrets' }, type, data };
    await cluster().request('POST', `/api/v1/namespaces/${of}/secrets`, foreign);
    refused(await applySecret('ecr-pull-secrets', { of }), /changes no Secret that somebody else made/);
  });

  it('refuses to delete', async () => {
    const why = /deletes nothing/;
    refused(await ours('DELETE', secretPath('ecr-pull-secrets')), why);
    refused(await ours('DELETE', accountPath()), why);
  });

  it('lets it add and remove our reference, with its note', async () => {
    const added = await patchAccount([
      { op: 'add', path: '/imagePullSecrets', value: [{ name: 'ecr-pull-secrets' }] },
      { op: 'add', path: '/metadata/annotations', value: { [annotation]: 'ecr-pull-secrets' } },
    ]);
    assert.equal(added.status, 200, JSON.stringify(added.body));
    const removed = await patchAccount([
      { op: 'remove', path: '/imagePullSecrets' },
      { op: 'remove', path: `/metadata/annotations/${annotation.replace('/', '~1')}` },
    ]);
    assert.equal(removed.status, 200, JSON.stringify(removed.body));
  });

  it('lets it exchange a reference of ours for one of the new name', async () => {
    await cluster().request(
      'PATCH',
      accountPath(),
      {
        imagePullSecrets: [{ name: 'one' }, { name: 'old' }],
        metadata: { annotations: { [annotation]: 'old' } },
      },
      { contentType: 'application/merge-patch+json' },
    );
    const exchanged = await patchAccount([
      { op: 'remove', path: '/imagePullSecrets/1' },
      { op: 'add', path: '/imagePullSecrets/-', value: { name: 'ecr-pull-secrets' } },
      {
        op: 'add',
        path: `/metadata/annotations/${annotation.replace('/', '~1')}`,
        value: 'ecr-pull-secrets',
      },
    ]);
    assert.equal(exchanged.status, 200, JSON.stringify(exchanged.body));
  });

  it('refuses everything else of a ServiceAccount', async () => {
    const cases: [unknown, RegExp][] = [
      [{ op: 'add', path: '/imagePullSecrets', value: [{ name: 'mine' }] }, /only its own reference/],
      [{ op: 'remove', path: '/imagePullSecrets/0' }, /only its own reference/],
      [
        { op: 'add', path: '/metadata/annotations/eks.amazonaws.com~1role-arn', value: 'x' },
        /own annotation/,
      ],
      [{ op: 'add', path: '/metadata/labels', value: { a: 'b' } }, /changes nothing else/],
      [{ op: 'add', path: '/automountServiceAccountToken', value: true }, /changes nothing else/],
      [{ op: 'add', path: '/secrets', value: [{ name: 'x' }] }, /changes nothing else/],
    ];
    for (const [operation, why] of cases) {
      refused(await patchAccount([operation]), why);
    }
    const made = { metadata: { name: 'mine' } };
    refused(
      await ours('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, made),
      /makes no ServiceAccounts/,
    );
  });

  it('holds nobody else', async () => {
    const secret = { metadata: { name: 'mine' }, type: 'Opaque' };
    const path = `/api/v1/namespaces/${namespace}/secrets`;
    assert.equal((await cluster().request('POST', path, secret)).status, 201);
    assert.equal((await cluster().request('DELETE', `${path}/mine`)).status, 200);
  });
});
