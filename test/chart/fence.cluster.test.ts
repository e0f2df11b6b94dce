// Tests of the fence, the chart's ValidatingAdmissionPolicy, on a real API server.
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

describeChartOnCluster(
  'the fence, with a ServiceAccount that is a cluster administrator by mistake',
  (cluster, helm) => {
    let release: Release;
    let asProgram: Request;
    let namespace: string;
    before(async () => {
      release = await createRelease(cluster(), helm());
      await release.install(getLocalProgramValues({ config: { provisioning: { registries: [registry] } } }));
      asProgram = createRequest(await release.kubeconfig());
      await cluster().request('POST', `${rbac}/clusterrolebindings`, {
        metadata: { name: 'excessive-permissions' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
        subjects: [{ kind: 'ServiceAccount', name: 'ecr-pull-secrets', namespace: release.namespace }],
      });
      namespace = await cluster().createNamespace();
      await eventually('the fence and the permissions are in effect', async () => {
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
      const options = { contentType: applied };
      return asProgram(
        'PATCH',
        `${secretPath(name, of)}?fieldManager=ecr-pull-secrets&force=true`,
        object,
        options,
      );
    }
    const changeSecret = (of: string, change: unknown) =>
      asProgram('PATCH', secretPath('ecr-pull-secrets', of), change, { contentType: merged });
    /** Changes the Secret as the owner of the namespace. */
    const ownerChanges = async (of: string, change: unknown) => {
      const path = secretPath('ecr-pull-secrets', of);
      const { status, body } = await cluster().request('PATCH', path, change, { contentType: merged });
      assert.equal(status, 200, JSON.stringify(body));
    };
    const patchAccount = (patch: unknown) =>
      asProgram('PATCH', accountPath(), patch, { contentType: 'application/json-patch+json' });
    const assertRefused = ({ status, body }: ApiResponse, reason: RegExp) => {
      assert.equal(status, 403, JSON.stringify(body));
      assert.match(getValueAt(body, 'message'), /ecr-pull-secrets-fence/);
      assert.match(getValueAt(body, 'message'), reason);
    };

    it('allows to create and change the pull Secret', async () => {
      assert.equal((await applySecret('ecr-pull-secrets')).status, 201);
      assert.equal((await applySecret('ecr-pull-secrets')).status, 200);
    });

    it('refuses another name, another type, no label, and POST under another name', async () => {
      const of = await cluster().createNamespace();
      const reason = /may only write Secrets of its name, type and label/;
      assertRefused(await applySecret('another'), reason);
      assertRefused(await applySecret('ecr-pull-secrets', { of, kind: 'Opaque' }), reason);
      assertRefused(await applySecret('ecr-pull-secrets', { of, labels: {} }), reason);
      const posted = { metadata: { generateName: 'x-', labels: label }, type, data };
      assertRefused(await asProgram('POST', `/api/v1/namespaces/${of}/secrets`, posted), reason);
    });

    it('refuses to change an unmanaged Secret of the same name', async () => {
      const of = await cluster().createNamespace();
      const unmanaged = { metadata: { name: 'ecr-pull-secrets' }, type, data };
      await cluster().request('POST', `/api/v1/namespaces/${of}/secrets`, unmanaged);
      assertRefused(await applySecret('ecr-pull-secrets', { of }), /may not change unmanaged Secrets/);
    });

    it('allows to restore the label of a Secret whose content and annotation the program still owns', async () => {
      const annotations = { 'ecr-pull-secrets.io/hosts': '{}' };
      for (const value of ['Helm', null]) {
        const of = await cluster().createNamespace();
        assert.equal((await applySecret('ecr-pull-secrets', { of, metadata: { annotations } })).status, 201);
        await ownerChanges(of, {
          metadata: { labels: { 'app.kubernetes.io/managed-by': value, team: 'x' } },
        });
        const restored = await applySecret('ecr-pull-secrets', { of, metadata: { annotations } });
        assert.equal(restored.status, 200, JSON.stringify(restored.body));
        assert.deepEqual(getValueAt(restored.body, 'metadata.labels'), { ...label, team: 'x' });
      }
    });

    const changesByOthers: [string, object][] = [
      ['the content', { data: { '.dockerconfigjson': btoa('{"auths":{"a.example":{}}}') } }],
      ['the annotation', { metadata: { annotations: { 'ecr-pull-secrets.io/hosts': '{"a":null}' } } }],
      [
        'the annotation, by removing it,',
        { metadata: { annotations: { 'ecr-pull-secrets.io/hosts': null } } },
      ],
    ];
    for (const [what, change] of changesByOthers) {
      it(`refuses to restore the label of a Secret in which another user has changed ${what}`, async () => {
        const of = await cluster().createNamespace();
        const annotations = { 'ecr-pull-secrets.io/hosts': '{}' };
        assert.equal((await applySecret('ecr-pull-secrets', { of, metadata: { annotations } })).status, 201);
        await ownerChanges(of, change);
        await ownerChanges(of, { metadata: { labels: { 'app.kubernetes.io/managed-by': 'Helm' } } });
        assertRefused(
          await applySecret('ecr-pull-secrets', { of, metadata: { annotations } }),
          /may not change unmanaged Secrets/,
        );
      });
    }

    const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'x', uid: 'x' };
    const forbidden: [string, object, RegExp][] = [
      ['a finalizer', { metadata: { finalizers: ['example.com/stay'] } }, /may not set finalizers/],
      ['an owner', { metadata: { ownerReferences: [owner] } }, /may not set finalizers, ownerReferences/],
      ['immutable', { more: { immutable: true } }, /generateName or immutable/],
      [
        'another label',
        { labels: { ...label, team: 'x' } },
        /may only set its own label and those of secretLabels/,
      ],
      [
        'another annotation',
        { metadata: { annotations: { team: 'x' } } },
        /may only set its own annotations/,
      ],
      ['another key', { more: { data: { ...data, other: 'eA==' } } }, /may only write \.dockerconfigjson/],
      ['another key as text', { more: { stringData: { other: 'x' } } }, /may only write \.dockerconfigjson/],
    ];
    for (const [what, options, reason] of forbidden) {
      it(`refuses ${what} on a new and on an existing Secret`, async () => {
        const of = await cluster().createNamespace();
        assertRefused(await applySecret('ecr-pull-secrets', { of, ...options }), reason);
        assert.equal((await applySecret('ecr-pull-secrets', { of })).status, 201);
        assertRefused(await applySecret('ecr-pull-secrets', { of, ...options }), reason);
      });
    }

    it('refuses a generated name, even together with the permitted name', async () => {
      const of = await cluster().createNamespace();
      const metadata = { name: 'ecr-pull-secrets', generateName: 'ecr-pull-', labels: label };
      assertRefused(
        await asProgram('POST', `/api/v1/namespaces/${of}/secrets`, { metadata, type, data }),
        /generateName/,
      );
    });

    it('allows renewal of a Secret to which others added labels, annotations and finalizers', async () => {
      const of = await cluster().createNamespace();
      assert.equal((await applySecret('ecr-pull-secrets', { of })).status, 201);
      const added = { labels: { team: 'x' }, annotations: { note: 'y' }, finalizers: ['example.com/stay'] };
      await ownerChanges(of, { metadata: added, data: { other: 'eA==' } });
      const annotations = { 'ecr-pull-secrets.io/hosts': '{}' };
      const renewed = await applySecret('ecr-pull-secrets', { of, metadata: { annotations } });
      assert.equal(renewed.status, 200, JSON.stringify(renewed.body));
      const { labels, finalizers } = getValueAt(renewed.body, 'metadata');
      assert.deepEqual([labels, finalizers], [{ ...label, team: 'x' }, added.finalizers]);
      assertRefused(
        await changeSecret(of, { metadata: { labels: { team: 'z' } } }),
        /may only set its own label/,
      );
      assertRefused(
        await changeSecret(of, { metadata: { labels: { team: null } } }),
        /may only set its own label/,
      );
      assertRefused(
        await changeSecret(of, { metadata: { annotations: { note: null } } }),
        /may only set its own annotations/,
      );
      assertRefused(await changeSecret(of, { metadata: { finalizers: [] } }), /may not set finalizers/);
      assertRefused(await changeSecret(of, { data: { other: null } }), /may only write \.dockerconfigjson/);
      await ownerChanges(of, { metadata: { finalizers: [] } });
    });

    it('stays within the cost limit of the API server, no matter how much others add', async () => {
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
      assertRefused(await changeSecret(of, { data: { a: null } }), /may only write \.dockerconfigjson/);
    });

    it('refuses to delete objects', async () => {
      const reason = /may not delete objects/;
      assertRefused(await asProgram('DELETE', secretPath('ecr-pull-secrets')), reason);
      assertRefused(await asProgram('DELETE', accountPath()), reason);
    });

    it('allows to add and remove the reference and its annotation', async () => {
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

    it('allows to replace the reference after a change of secretName', async () => {
      await cluster().request(
        'PATCH',
        accountPath(),
        {
          imagePullSecrets: [{ name: 'one' }, { name: 'old' }],
          metadata: { annotations: { [annotation]: 'old' } },
        },
        { contentType: 'application/merge-patch+json' },
      );
      const replaced = await patchAccount([
        { op: 'remove', path: '/imagePullSecrets/1' },
        { op: 'add', path: '/imagePullSecrets/-', value: { name: 'ecr-pull-secrets' } },
        {
          op: 'add',
          path: `/metadata/annotations/${annotation.replace('/', '~1')}`,
          value: 'ecr-pull-secrets',
        },
      ]);
      assert.equal(replaced.status, 200, JSON.stringify(replaced.body));
    });

    it('refuses all other changes of a ServiceAccount', async () => {
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
      for (const [operation, reason] of cases) {
        assertRefused(await patchAccount([operation]), reason);
      }
      const object = { metadata: { name: 'mine' } };
      assertRefused(
        await asProgram('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, object),
        /may not create ServiceAccounts/,
      );
    });

    it('refuses a new reference in an excluded namespace, and allows to remove one', async () => {
      const path = '/api/v1/namespaces/kube-system/serviceaccounts/excluded';
      await cluster().request('POST', path.replace(/\/[^/]+$/, ''), { metadata: { name: 'excluded' } });
      const reference = {
        imagePullSecrets: [{ name: 'ecr-pull-secrets' }],
        metadata: { annotations: { [annotation]: 'ecr-pull-secrets' } },
      };
      const change = (patch: unknown) => asProgram('PATCH', path, patch, { contentType: merged });
      assertRefused(
        await change(reference),
        /may not add a reference in namespace kube-system, which is excluded/,
      );
      assertRefused(
        await change({ imagePullSecrets: reference.imagePullSecrets }),
        /may not add a reference/,
      );
      assertRefused(await change({ metadata: reference.metadata }), /may not add a reference/);
      const added = await cluster().request('PATCH', path, reference, { contentType: merged });
      assert.equal(added.status, 200, JSON.stringify(added.body));
      const removed = await change({
        imagePullSecrets: null,
        metadata: { annotations: { [annotation]: null } },
      });
      assert.equal(removed.status, 200, JSON.stringify(removed.body));
    });

    it('allows keys in fence.allowedKeys', async () => {
      const config = { provisioning: { registries: [registry] } };
      const values = getLocalProgramValues({ config, fence: { allowedKeys: ['example.com/cost-centre'] } });
      await release.upgrade(values);
      const of = await cluster().createNamespace();
      const labels = { ...label, 'example.com/cost-centre': '7' };
      await eventually('the new fence is in effect', async () => {
        return (await applySecret('ecr-pull-secrets', { of, labels })).status === 201;
      });
      assertRefused(
        await applySecret('ecr-pull-secrets', { of, labels: { ...labels, team: 'x' } }),
        /own label/,
      );
    });

    it('allows keys in secretLabels and secretAnnotations, and to remove those that the program set before', async () => {
      const config = { provisioning: { registries: [registry] } };
      const upgrade = (labels: object, annotations: object) =>
        release.upgrade(
          getLocalProgramValues({ config, secretLabels: labels, secretAnnotations: annotations }),
        );
      await upgrade({ 'example.com/team': 'a' }, { 'example.com/owner': 'b' });
      const of = await cluster().createNamespace();
      const labels = { ...label, 'example.com/team': 'a' };
      const metadata = { annotations: { 'ecr-pull-secrets.io/hosts': '{}', 'example.com/owner': 'b' } };
      await eventually('the new fence is in effect', async () => {
        return (await applySecret('ecr-pull-secrets', { of, labels, metadata })).status === 201;
      });
      assertRefused(await changeSecret(of, { metadata: { labels: { team: 'x' } } }), /secretLabels/);
      assertRefused(
        await changeSecret(of, { metadata: { annotations: { note: 'x' } } }),
        /secretAnnotations/,
      );
      await ownerChanges(of, { metadata: { labels: { theirs: 'x' }, annotations: { theirs: 'x' } } });
      await upgrade({}, {});
      await eventually('the old fence is in effect again', async () => {
        const other = await cluster().createNamespace();
        return (await applySecret('ecr-pull-secrets', { of: other, labels })).status === 403;
      });
      assertRefused(await changeSecret(of, { metadata: { labels: { theirs: null } } }), /secretLabels/);
      assertRefused(
        await changeSecret(of, { metadata: { annotations: { theirs: null } } }),
        /secretAnnotations/,
      );
      const removal = {
        labels: { 'example.com/team': null },
        annotations: { 'example.com/owner': null },
      };
      const removed = await changeSecret(of, { metadata: removal });
      assert.equal(removed.status, 200, JSON.stringify(removed.body));
    });

    it('does not restrict other users', async () => {
      const secret = { metadata: { name: 'mine' }, type: 'Opaque' };
      const path = `/api/v1/namespaces/${namespace}/secrets`;
      assert.equal((await cluster().request('POST', path, secret)).status, 201);
      assert.equal((await cluster().request('DELETE', `${path}/mine`)).status, 200);
    });
  },
);

const image = `${registry}/app:1`;

/** Creates a policy of the kind that many clusters have: every pull Secret needs a label. */
async function requireLabel(request: Request): Promise<void> {
  const admission = '/apis/admissionregistration.k8s.io/v1';
  const name = 'require-team';
  const policy = await request('POST', `${admission}/validatingadmissionpolicies`, {
    metadata: { name },
    spec: {
      matchConstraints: {
        resourceRules: [
          { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['secrets'] },
        ],
      },
      validations: [
        {
          expression: `object.type != '${type}' || object.metadata.?labels[?'example.com/team'].hasValue()`,
          message: 'the label example.com/team is required',
        },
      ],
    },
  });
  const binding = await request('POST', `${admission}/validatingadmissionpolicybindings`, {
    metadata: { name },
    spec: { policyName: name, validationActions: ['Deny'] },
  });
  assert.deepEqual([policy.status, binding.status], [201, 201]);
}

describeChartOnCluster('a forged admission request, sent directly to the webhook', (cluster, helm) => {
  let ecr: EcrDouble;
  let release: Release;
  let program: RunningProgram;
  before(async () => {
    ecr = await startEcrDouble();
    release = await createRelease(cluster(), helm());
    await requireLabel(cluster().request);
    program = await installWithLocalProgram(cluster(), release, ecr, {
      secretLabels: { 'example.com/team': 'platform' },
      namespaces: {
        exclude: ['excluded-by-chart'],
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

  it('stores a token in a selected namespace only', async () => {
    await namespaceWith('opted-out', { team: 'shop', 'ecr-pull-secrets.io/inject': 'false' });
    await namespaceWith('never-selected', { team: 'payments' });
    await namespaceWith('excluded-by-chart', { team: 'shop' });
    await namespaceWith('lab-7', { team: 'shop' });
    await namespaceWith('selected', { team: 'shop' });
    const refused = [
      'opted-out',
      'never-selected',
      'excluded-by-chart',
      'lab-7',
      'kube-system',
      release.namespace,
    ];
    for (const namespace of [...refused, 'selected']) {
      const { status, body } = await forge(namespace);
      assert.deepEqual([status, getValueAt(body, 'response.allowed')], [200, true], namespace);
    }
    await eventually('the selected namespace has its Secret', async () => {
      return (await readPullSecret(cluster(), 'selected'))?.auths[registry] !== undefined;
    });
    const { labels } = (await readPullSecret(cluster(), 'selected')) ?? {};
    assert.deepEqual(labels, { ...label, 'example.com/team': 'platform' });
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

  it('renews no Secret of a namespace that opts out later, and resumes when it opts in again', async () => {
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
    const removeHosts = async () => {
      const change = { metadata: { annotations: { 'ecr-pull-secrets.io/hosts': null } } };
      const path = `/api/v1/namespaces/${namespace}/secrets/ecr-pull-secrets`;
      await cluster().request('PATCH', path, change, { contentType: merged });
    };
    await opt('false');
    await removeHosts();
    await eventually('the refusal is logged', () =>
      program.log().some((line) => line['namespace'] === namespace && /fence/.test(JSON.stringify(line))),
    );
    assert.deepEqual((await readPullSecret(cluster(), namespace))?.hosts, {});
    await opt(null);
    await eventually(
      'the Secret is renewed',
      async () => (await readPullSecret(cluster(), namespace))?.hosts[registry] !== undefined,
      30_000,
    );
    assert.equal((await readPullSecret(cluster(), namespace))?.uid, before?.uid);
  });
});
