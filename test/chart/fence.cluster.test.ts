import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { ApiResponse, Request } from '../cluster/kube-request.ts';
import { createRequest, send } from '../cluster/kube-request.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { podWith } from '../support/pods.ts';
import type { RunningProgram } from '../support/program.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { buildPodReview } from '../webhook/admission-reviews.ts';
import { describeChartOnCluster } from './chart-suite.ts';
import { registry } from './install-modes.ts';
import { getLocalProgramValues, installWithLocalProgram } from './local-program.ts';
import { createRelease, type Release } from './release.ts';
import { getValueAt } from './rendered-objects.ts';

const rbac = '/apis/rbac.authorization.k8s.io/v1';
const type = 'kubernetes.io/dockerconfigjson';
const label = { 'app.kubernetes.io/managed-by': 'ecr-pull-secrets' };
const data = { '.dockerconfigjson': btoa('{"auths":{}}') };
const annotation = 'ecr-pull-secrets.io/pull-secret';

const applied = 'application/apply-patch+yaml';
const merged = 'application/merge-patch+json';

/** The program's account, as if somebody had granted it far too much. */
describeChartOnCluster("the fence around the program's own account", (cluster, helm) => {
  let release: Release;
  let ours: Request;
  let namespace: string;
  before(async () => {
    release = await createRelease(cluster(), helm());
    await release.install(getLocalProgramValues({ config: { provisioning: { registries: [registry] } } }));
    ours = createRequest(await release.kubeconfig());
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
    { labels = label as object, kind = type, of = namespace, metadata = {}, more = {} } = {},
  ): Promise<ApiResponse> {
    const object = {
      ...{ apiVersion: 'v1', kind: 'Secret', type: kind, data, ...more },
      metadata: { name, labels, ...metadata },
    };
    const how = { contentType: applied };
    return ours('PATCH', `${secretPath(name, of)}?fieldManager=ecr-pull-secrets&force=true`, object, how);
  }
  const changeSecret = (of: string, change: unknown) =>
    ours('PATCH', secretPath('ecr-pull-secrets', of), change, { contentType: merged });
  /** As the namespace's owner. */
  const ownerChanges = async (of: string, change: unknown) => {
    const path = secretPath('ecr-pull-secrets', of);
    const { status, body } = await cluster().request('PATCH', path, change, { contentType: merged });
    assert.equal(status, 200, JSON.stringify(body));
  };
  const patchAccount = (patch: unknown) =>
    ours('PATCH', accountPath(), patch, { contentType: 'application/json-patch+json' });
  const refused = ({ status, body }: ApiResponse, why: RegExp) => {
    assert.equal(status, 403, JSON.stringify(body));
    assert.match(getValueAt(body, 'message'), /ecr-pull-secrets-fence/);
    assert.match(getValueAt(body, 'message'), why);
  };

  it('lets it make and change our Secret', async () => {
    assert.equal((await applySecret('ecr-pull-secrets')).status, 201);
    assert.equal((await applySecret('ecr-pull-secrets')).status, 200);
  });

  it('refuses another name, another type, no label, and POST under another name', async () => {
    const of = await cluster().createNamespace();
    const why = /may only write Secrets of its name, type and label/;
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
    refused(await applySecret('ecr-pull-secrets', { of }), /may not change unmanaged Secrets/);
  });

  it('lets it restore its label on a Secret whose content and annotation are still its own', async () => {
    const annotations = { 'ecr-pull-secrets.io/hosts': '{}' };
    for (const value of ['Helm', null]) {
      const of = await cluster().createNamespace();
      assert.equal((await applySecret('ecr-pull-secrets', { of, metadata: { annotations } })).status, 201);
      await ownerChanges(of, { metadata: { labels: { 'app.kubernetes.io/managed-by': value, team: 'x' } } });
      const restored = await applySecret('ecr-pull-secrets', { of, metadata: { annotations } });
      assert.equal(restored.status, 200, JSON.stringify(restored.body));
      assert.deepEqual(getValueAt(restored.body, 'metadata.labels'), { ...label, team: 'x' });
    }
  });

  const theirs: [string, object][] = [
    ['the content', { data: { '.dockerconfigjson': btoa('{"auths":{"a.example":{}}}') } }],
    ['the annotation', { metadata: { annotations: { 'ecr-pull-secrets.io/hosts': '{"a":null}' } } }],
    ['the annotation, by removing it,', { metadata: { annotations: { 'ecr-pull-secrets.io/hosts': null } } }],
  ];
  for (const [what, change] of theirs) {
    it(`refuses to restore its label on a Secret in which another user has set ${what} since`, async () => {
      const of = await cluster().createNamespace();
      const annotations = { 'ecr-pull-secrets.io/hosts': '{}' };
      assert.equal((await applySecret('ecr-pull-secrets', { of, metadata: { annotations } })).status, 201);
      await ownerChanges(of, change);
      await ownerChanges(of, { metadata: { labels: { 'app.kubernetes.io/managed-by': 'Helm' } } });
      refused(
        await applySecret('ecr-pull-secrets', { of, metadata: { annotations } }),
        /may not change unmanaged Secrets/,
      );
    });
  }

  const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: 'x' };
  const foreign: [string, object, RegExp][] = [
    ['a finalizer', { metadata: { finalizers: ['example.com/stay'] } }, /may not set finalizers/],
    ['an owner', { metadata: { ownerReferences: [owner] } }, /may not set finalizers, ownerReferences/],
    ['immutable', { more: { immutable: true } }, /generateName or immutable/],
    ['another label', { labels: { ...label, team: 'x' } }, /may only set its own label on a Secret/],
    ['another annotation', { metadata: { annotations: { team: 'x' } } }, /may only set its own annotations/],
    ['another key', { more: { data: { ...data, other: 'eA==' } } }, /may only write \.dockerconfigjson/],
    ['another key as text', { more: { stringData: { other: 'x' } } }, /may only write \.dockerconfigjson/],
  ];
  for (const [what, how, why] of foreign) {
    it(`refuses ${what} on a Secret, a new one and one that is there`, async () => {
      const of = await cluster().createNamespace();
      refused(await applySecret('ecr-pull-secrets', { of, ...how }), why);
      assert.equal((await applySecret('ecr-pull-secrets', { of })).status, 201);
      refused(await applySecret('ecr-pull-secrets', { of, ...how }), why);
    });
  }

  it('refuses a generated name, also beside our own', async () => {
    const of = await cluster().createNamespace();
    const metadata = { name: 'ecr-pull-secrets', generateName: 'ecr-pull-', labels: label };
    refused(await ours('POST', `/api/v1/namespaces/${of}/secrets`, { metadata, type, data }), /generateName/);
  });

  it('lets others label, annotate and own our Secret, and our renewals go on', async () => {
    const of = await cluster().createNamespace();
    assert.equal((await applySecret('ecr-pull-secrets', { of })).status, 201);
    const theirs = { labels: { team: 'x' }, annotations: { note: 'y' }, finalizers: ['example.com/stay'] };
    await ownerChanges(of, { metadata: theirs, data: { other: 'eA==' } });
    const annotations = { 'ecr-pull-secrets.io/hosts': '{}' };
    const renewed = await applySecret('ecr-pull-secrets', { of, metadata: { annotations } });
    assert.equal(renewed.status, 200, JSON.stringify(renewed.body));
    const { labels, finalizers } = getValueAt(renewed.body, 'metadata');
    assert.deepEqual([labels, finalizers], [{ ...label, team: 'x' }, theirs.finalizers]);
    refused(await changeSecret(of, { metadata: { labels: { team: 'z' } } }), /may only set its own label/);
    refused(await changeSecret(of, { metadata: { labels: { team: null } } }), /may only set its own label/);
    refused(
      await changeSecret(of, { metadata: { annotations: { note: null } } }),
      /may only set its own annotations/,
    );
    refused(await changeSecret(of, { metadata: { finalizers: [] } }), /may not set finalizers/);
    refused(await changeSecret(of, { data: { other: null } }), /may only write \.dockerconfigjson/);
    await ownerChanges(of, { metadata: { finalizers: [] } });
  });

  it('does not cost more than the API server allows, however much others add', async () => {
    const of = await cluster().createNamespace();
    const metadata = { annotations: { 'ecr-pull-secrets.io/hosts': '{}' } };
    assert.equal((await applySecret('ecr-pull-secrets', { of, metadata })).status, 201);
    const keys = Array.from({ length: 2_000 }, (_, index) => `example.com/key-${index}`);
    const many = Object.fromEntries(keys.map((key) => [key, 'x'.repeat(60)]));
    const large = Object.fromEntries(['a', 'b'].map((key) => [key, btoa('x'.repeat(300_000))]));
    const labels = { ...many, 'app.kubernetes.io/managed-by': 'Helm' };
    await ownerChanges(of, { metadata: { labels, annotations: many }, data: large });
    const own = { '.dockerconfigjson': btoa(`{"auths":{}}${' '.repeat(300_000)}`) };
    const renewed = await applySecret('ecr-pull-secrets', { of, metadata, more: { data: own } });
    assert.equal(renewed.status, 200, JSON.stringify(renewed.body));
    refused(await changeSecret(of, { data: { a: null } }), /may only write \.dockerconfigjson/);
  });

  it('refuses to delete', async () => {
    const why = /may not delete objects/;
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
      [
        { op: 'add', path: '/imagePullSecrets', value: [{ name: 'mine' }] },
        /may only add and remove its own reference/,
      ],
      [{ op: 'remove', path: '/imagePullSecrets/0' }, /may only add and remove its own reference/],
      [
        { op: 'add', path: '/metadata/annotations/eks.amazonaws.com~1role-arn', value: 'x' },
        /own annotation/,
      ],
      [{ op: 'add', path: '/metadata/labels', value: { a: 'b' } }, /may not change other fields/],
      [{ op: 'add', path: '/automountServiceAccountToken', value: true }, /may not change other fields/],
      [{ op: 'add', path: '/secrets', value: [{ name: 'x' }] }, /may not change other fields/],
    ];
    for (const [operation, why] of cases) {
      refused(await patchAccount([operation]), why);
    }
    const made = { metadata: { name: 'mine' } };
    refused(
      await ours('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, made),
      /may not create ServiceAccounts/,
    );
  });

  it('takes no reference into an excluded namespace, and lets ours go from there', async () => {
    const path = '/api/v1/namespaces/kube-system/serviceaccounts/left-alone';
    await cluster().request('POST', path.replace(/\/[^/]+$/, ''), { metadata: { name: 'left-alone' } });
    const reference = {
      imagePullSecrets: [{ name: 'ecr-pull-secrets' }],
      metadata: { annotations: { [annotation]: 'ecr-pull-secrets' } },
    };
    const change = (patch: unknown) => ours('PATCH', path, patch, { contentType: merged });
    refused(await change(reference), /may not add a reference in namespace kube-system, which is excluded/);
    refused(await change({ imagePullSecrets: reference.imagePullSecrets }), /may not add a reference/);
    refused(await change({ metadata: reference.metadata }), /may not add a reference/);
    const given = await cluster().request('PATCH', path, reference, { contentType: merged });
    assert.equal(given.status, 200, JSON.stringify(given.body));
    const taken = await change({ imagePullSecrets: null, metadata: { annotations: { [annotation]: null } } });
    assert.equal(taken.status, 200, JSON.stringify(taken.body));
  });

  it('lets keys come that the operator allows', async () => {
    const config = { provisioning: { registries: [registry] } };
    const values = getLocalProgramValues({ config, fence: { allowedKeys: ['example.com/cost-centre'] } });
    await release.upgrade(values);
    const of = await cluster().createNamespace();
    const labels = { ...label, 'example.com/cost-centre': '7' };
    await eventually('the new fence is up', async () => {
      return (await applySecret('ecr-pull-secrets', { of, labels })).status === 201;
    });
    refused(await applySecret('ecr-pull-secrets', { of, labels: { ...labels, team: 'x' } }), /own label/);
  });

  it('holds nobody else', async () => {
    const secret = { metadata: { name: 'mine' }, type: 'Opaque' };
    const path = `/api/v1/namespaces/${namespace}/secrets`;
    assert.equal((await cluster().request('POST', path, secret)).status, 201);
    assert.equal((await cluster().request('DELETE', `${path}/mine`)).status, 200);
  });
});

const image = `${registry}/app:1`;

describeChartOnCluster('a forged review, sent past the API server', (cluster, helm) => {
  let ecr: EcrDouble;
  let release: Release;
  let program: RunningProgram;
  before(async () => {
    ecr = await startEcrDouble();
    release = await createRelease(cluster(), helm());
    program = await installWithLocalProgram(cluster(), release, ecr, {
      namespaces: {
        exclude: ['left-out'],
        selector: { matchExpressions: [{ key: 'team', operator: 'NotIn', values: ['payments'] }] },
      },
      config: { exclude: { namespaces: ['lab-*'] } },
    });
  });
  after(async () => {
    await program?.stop();
    await release?.uninstall();
    await ecr.stop();
  });
  const namespaceWith = async (name: string, labels: Record<string, string>) => {
    const { status } = await cluster().request('POST', '/api/v1/namespaces', { metadata: { name, labels } });
    assert.equal(status, 201);
  };
  const forge = (namespace: string) =>
    send(
      program.webhookUrl,
      { method: 'POST', ca: program.caPem, servername: 'localhost' },
      buildPodReview(podWith([image]), { namespace }),
    );

  it('gets a token into a selected namespace only', async () => {
    await namespaceWith('opted-out', { team: 'shop', 'ecr-pull-secrets.io/inject': 'false' });
    await namespaceWith('never-selected', { team: 'payments' });
    await namespaceWith('left-out', { team: 'shop' });
    await namespaceWith('lab-7', { team: 'shop' });
    await namespaceWith('selected', { team: 'shop' });
    const refused = ['opted-out', 'never-selected', 'left-out', 'lab-7', 'kube-system', release.namespace];
    for (const namespace of [...refused, 'selected']) {
      const { status, body } = await forge(namespace);
      assert.deepEqual([status, getValueAt(body, 'response.allowed')], [200, true], namespace);
    }
    await eventually('the selected one has its Secret', async () => {
      return (await readPullSecret(cluster(), 'selected'))?.auths[registry] !== undefined;
    });
    for (const namespace of refused) {
      assert.equal(await readPullSecret(cluster(), namespace), undefined, namespace);
    }
    await eventually('the log names the fence', () =>
      program
        .log()
        .some(
          (line) =>
            line['namespace'] === 'opted-out' &&
            JSON.stringify(line).includes("ValidatingAdmissionPolicy 'ecr-pull-secrets-fence'"),
        ),
    );
  });

  it('renews no Secret of a namespace that opts out later, and takes up again where it opts in', async () => {
    const namespace = 'selected';
    const before = await readPullSecret(cluster(), namespace);
    const opt = async (inject: string | null) => {
      const labels = { 'ecr-pull-secrets.io/inject': inject };
      const path = `/api/v1/namespaces/${namespace}`;
      const { status } = await cluster().request(
        'PATCH',
        path,
        { metadata: { labels } },
        { contentType: merged },
      );
      assert.equal(status, 200);
    };
    const spoil = async () => {
      const change = { metadata: { annotations: { 'ecr-pull-secrets.io/hosts': null } } };
      const path = `/api/v1/namespaces/${namespace}/secrets/ecr-pull-secrets`;
      await cluster().request('PATCH', path, change, { contentType: merged });
    };
    await opt('false');
    await spoil();
    await eventually('the refusal is logged', () =>
      program.log().some((line) => line['namespace'] === namespace && /fence/.test(JSON.stringify(line))),
    );
    assert.deepEqual((await readPullSecret(cluster(), namespace))?.hosts, {});
    await opt(null);
    await eventually(
      'it is renewed',
      async () => (await readPullSecret(cluster(), namespace))?.hosts[registry] !== undefined,
      30_000,
    );
    assert.equal((await readPullSecret(cluster(), namespace))?.uid, before?.uid);
  });
});
