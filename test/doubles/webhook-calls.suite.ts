// Tests that a real API server and the stand-in call webhooks in the same way.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, it } from 'node:test';
import { getValueAt } from '../kube/secret-api-fixtures.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { eventually } from '../support/eventually.ts';
import type { ApiServerResponse, TestApiServer } from '../support/test-api-server.ts';
import { type Script, type ScriptedWebhook, startScriptedWebhook } from './scripted-webhook.ts';

const webhookConfigurationsPath = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
const rules = [
  { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['pods'] },
  { apiGroups: [''], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['pods/ephemeralcontainers'] },
];

const patch = (operations: object[]): Record<string, unknown> => ({
  allowed: true,
  patchType: 'JSONPatch',
  patch: Buffer.from(JSON.stringify(operations)).toString('base64'),
});
const addList = patch([{ op: 'add', path: '/spec/imagePullSecrets', value: [{ name: 'added' }] }]);
const appendToNothing = patch([{ op: 'add', path: '/spec/imagePullSecrets/-', value: { name: 'added' } }]);

const buildPod = (name: string): object => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name },
  spec: { containers: [{ name: 'c', image: 'busybox' }] },
});

describeOnEachApiServer('calls to webhooks', webhooksSuite);

function webhooksSuite(apiServer: () => TestApiServer): void {
  let webhook: ScriptedWebhook;
  const namespaces = { Ignore: '', Fail: '' };
  const label = `webhooks-${randomBytes(4).toString('hex')}`;

  const register = async (failurePolicy: 'Ignore' | 'Fail'): Promise<void> => {
    const namespace = `${label}-${failurePolicy.toLowerCase()}`;
    namespaces[failurePolicy] = namespace;
    await apiServer().request('POST', '/api/v1/namespaces', {
      metadata: { name: namespace, labels: { [label]: failurePolicy } },
    });
    await apiServer().request('POST', webhookConfigurationsPath, configuration(namespace, failurePolicy));
    await eventually('the webhook is called', async () => {
      await create(failurePolicy, 'probe', '?dryRun=All');
      return webhook.reviews.some(({ request }) => request['namespace'] === namespace);
    });
  };
  const configuration = (name: string, failurePolicy: string): object => ({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name },
    webhooks: [
      {
        name: 'pods.test.example',
        admissionReviewVersions: ['v1'],
        clientConfig: { url: webhook.url, caBundle: Buffer.from(webhook.caPem).toString('base64') },
        failurePolicy,
        sideEffects: 'NoneOnDryRun',
        timeoutSeconds: 2,
        namespaceSelector: { matchLabels: { [label]: failurePolicy } },
        rules,
      },
    ],
  });
  const pods = (policy: 'Ignore' | 'Fail'): string => `/api/v1/namespaces/${namespaces[policy]}/pods`;
  const create = (policy: 'Ignore' | 'Fail', name: string, query = ''): Promise<ApiServerResponse> =>
    apiServer().request('POST', `${pods(policy)}${query}`, buildPod(name));
  const getPullSecrets = (response: ApiServerResponse): unknown =>
    getValueAt(response.body, 'spec', 'imagePullSecrets');

  before(async () => {
    webhook = await startScriptedWebhook();
    await register('Ignore');
    await register('Fail');
  });
  after(async () => {
    webhook.stop();
    for (const name of Object.values(namespaces)) {
      await apiServer().request('DELETE', `${webhookConfigurationsPath}/${name}`);
    }
  });
  beforeEach(() => {
    webhook.reviews = [];
  });

  it('sends the whole request for a creation, over a kept-alive HTTP/1.1 connection', async () => {
    for (const name of ['a', 'b', 'c']) {
      assert.equal((await create('Fail', name)).status, 201);
    }
    const [first] = webhook.reviews;
    assert.deepEqual([first?.url, first?.httpVersion], ['/mutate?timeout=2s', '1.1']);
    assert.equal(new Set(webhook.reviews.map(({ connection }) => connection)).size, 1);
    const { uid, object, userInfo, options, ...rest } = first?.request ?? {};
    const resource = { group: '', version: 'v1', resource: 'pods' };
    const kind = { group: '', version: 'v1', kind: 'Pod' };
    assert.deepEqual(rest, {
      kind,
      resource,
      requestKind: kind,
      requestResource: resource,
      name: 'a',
      namespace: namespaces.Fail,
      operation: 'CREATE',
      oldObject: null,
      dryRun: false,
    });
    assert.match(String(uid), /^[0-9a-f-]{36}$/);
    assert.equal(getValueAt(object, 'metadata', 'namespace'), namespaces.Fail);
    assert.deepEqual([getValueAt(object, 'apiVersion'), getValueAt(object, 'kind')], ['v1', 'Pod']);
    assert.equal(getValueAt(options, 'kind'), 'CreateOptions');
    assert.ok(getValueAt(userInfo, 'username'));
  });

  it('stores the patched pod, and returns the warnings', async () => {
    const text = 'a "quoted" \\ warning';
    webhook.script = () => ({ ...addList, warnings: [text, 'another'] });
    const response = await create('Fail', 'patched');
    assert.deepEqual(
      [response.status, getPullSecrets(response), response.warnings],
      [201, [{ name: 'added' }], [text, 'another']],
    );
    const stored = await apiServer().request('GET', `${pods('Fail')}/patched`);
    assert.deepEqual(getPullSecrets(stored), [{ name: 'added' }]);
  });

  it('marks a dry run, and stores nothing', async () => {
    webhook.script = () => addList;
    const response = await create('Fail', 'dry', '?dryRun=All');
    assert.deepEqual([response.status, getPullSecrets(response)], [201, [{ name: 'added' }]]);
    assert.equal(webhook.reviews[0]?.request['dryRun'], true);
    assert.equal((await apiServer().request('GET', `${pods('Fail')}/dry`)).status, 404);
  });

  it('sends updates of the pod and of its ephemeral containers', async () => {
    webhook.script = () => ({ allowed: true });
    await create('Fail', 'changing');
    const change = async (spec: object, subresource = ''): Promise<Record<string, unknown>> => {
      webhook.reviews = [];
      const { body } = await apiServer().request('GET', `${pods('Fail')}/changing`);
      const pod = { ...Object(body), spec: { ...Object(getValueAt(body, 'spec')), ...spec } };
      const { status } = await apiServer().request('PUT', `${pods('Fail')}/changing${subresource}`, pod);
      assert.equal(status, 200);
      return webhook.reviews[0]?.request ?? {};
    };
    const image = await change({ containers: [{ name: 'c', image: 'other' }] });
    assert.deepEqual(
      [image['operation'], image['subResource'], getValueAt(image, 'oldObject', 'metadata', 'name')],
      ['UPDATE', undefined, 'changing'],
    );
    const debug = await change(
      { ephemeralContainers: [{ name: 'debug', image: 'debug' }] },
      '/ephemeralcontainers',
    );
    assert.deepEqual(
      [debug['operation'], debug['subResource'], debug['requestSubResource']],
      ['UPDATE', 'ephemeralcontainers', 'ephemeralcontainers'],
    );
    assert.deepEqual(getValueAt(debug, 'kind', 'kind'), 'Pod');
  });

  it('rejects an update that changes imagePullSecrets, also in the patch of a webhook', async () => {
    webhook.script = () => ({ allowed: true });
    await create('Fail', 'fixed');
    const { body } = await apiServer().request('GET', `${pods('Fail')}/fixed`);
    webhook.script = () => addList;
    const { status } = await apiServer().request('PUT', `${pods('Fail')}/fixed`, body);
    assert.equal(status, 422);
  });

  const broken: [string, Script][] = [
    ['another uid', () => ({ allowed: true, uid: 'another' })],
    ['a patch without its type', () => ({ ...addList, patchType: undefined })],
    ['status 500', (_, response) => void response.writeHead(500).end('{}')],
    ['a body that is not JSON', (_, response) => void response.end('<html>')],
    ['a reset', (_, response) => void response.socket?.destroy()],
    ['no response', () => undefined],
  ];
  for (const [what, script] of broken) {
    it(`treats ${what} as a failure, to which failurePolicy applies`, async () => {
      webhook.script = script;
      const name = what.replaceAll(' ', '-').toLowerCase();
      const ignored = await create('Ignore', name);
      assert.deepEqual([ignored.status, getPullSecrets(ignored)], [201, undefined]);
      const failed = await create('Fail', name);
      assert.deepEqual([failed.status, getValueAt(failed.body, 'reason')], [500, 'InternalError']);
      assert.match(String(getValueAt(failed.body, 'message')), /failed calling webhook "pods.test.example"/);
    });
  }

  it('returns 500 for a patch that does not apply, and denies what the webhook denies, also with Ignore', async () => {
    webhook.script = () => appendToNothing;
    assert.equal((await create('Ignore', 'unpatched')).status, 500);
    webhook.script = () => ({ allowed: false, status: { code: 403, message: 'because' } });
    const { status, body } = await create('Ignore', 'refused');
    assert.equal(status, 403);
    assert.equal(
      getValueAt(body, 'message'),
      'admission webhook "pods.test.example" denied the request: because',
    );
    webhook.script = () => ({ allowed: false });
    assert.deepEqual(
      [
        (await create('Ignore', 'refused')).status,
        getValueAt((await create('Ignore', 'refused')).body, 'message'),
      ],
      [400, 'admission webhook "pods.test.example" denied the request without explanation'],
    );
  });
}
