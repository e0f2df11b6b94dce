import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, it } from 'node:test';
import { createStandardLog } from '../../src/telemetry/log.ts';
import { getField } from '../../src/util/json.ts';
import { createWebhook, updateTlsIdentity, type Webhook } from '../../src/webhook/server.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { eventually } from '../support/eventually.ts';
import { getSendRate, startPodLoad } from '../support/pod-load.ts';
import { createPod, podWith } from '../support/pods.ts';
import {
  type CertificatesFixture,
  createCertificatesFixture,
  startReplica,
  type TestReplica,
} from './managed-certificates-fixture.ts';
import { issueTestCa, issueTestServingCertificate } from './test-certificates.ts';

// Ten changes of the certificate and two of the CA in a little more than a minute. X.509 counts in seconds.
const lives = { certificateLifetimeMs: 9_000, caLifetimeMs: 36_000 };
const podsPerSecond = 50;
const timing = { apiServerPropagationMs: 1_500, replicaPropagationMs: 3_000, tickMs: 100, pollMs: 1_000 };

/** Pods go through a real API server to a real server that has its certificate from three replicas' common work. */
describeOnCluster('certificates that change while pods are created', (cluster) => {
  let app: Webhook;
  let setting: CertificatesFixture;
  let sources: TestReplica[];
  let namespace: string;
  let handshakes = 0;
  before(async () => {
    app = createWebhook({
      identity: {
        ...(await issueTestServingCertificate(await issueTestCa(Date.now()), Date.now())),
        clientCaPem: undefined,
      },
      maxConnections: 600,
      onRefused: () => undefined,
      handleReview: (body) => ({ status: 200, body: JSON.stringify(allowing(body)) }),
      // so that each call is a new handshake
      isDraining: () => true,
      log: createStandardLog('error').log,
    });
    app.server.on('secureConnection', () => {
      handshakes += 1;
    });
    const url = `${await app.listen({ host: '127.0.0.1', port: 0 })}/mutate`;
    const label = randomBytes(4).toString('hex');
    const namespaceSelector = { matchLabels: { certificates: label } };
    setting = await createCertificatesFixture(cluster(), { url, namespaceSelector, webhooks: 1 });
    namespace = await labelledNamespace(label);
    const serve = ({ certPem, keyPem }: { certPem: string; keyPem: string }) =>
      updateTlsIdentity(app, { certPem, keyPem, clientCaPem: undefined });
    const served = { ...lives, timing, onChange: serve };
    sources = await Promise.all([startReplica(setting, served), startReplica(setting, { ...lives, timing })]);
    sources.push(await startReplica(setting, { ...lives, timing }));
    serve(sources[0]?.certificates.current ?? { certPem: '', keyPem: '' });
  });
  beforeEach(async () => {
    await eventually('the API server trusts the webhook', async () => (await create()).status === 201);
  });
  after(async () => {
    for (const { end } of sources) await end();
    await app.close();
  });
  const labelledNamespace = async (label: string) => {
    const name = await cluster().createNamespace('pods');
    const path = `/api/v1/namespaces/${name}`;
    const { body } = await cluster().request('GET', path);
    const metadata = { ...Object(getField(body, 'metadata')), labels: { certificates: label } };
    await cluster().request('PUT', path, { ...Object(body), metadata });
    return name;
  };
  const create = () => createPod(cluster(), namespace, podWith(['an-image']));
  /** Creates 50 pods a second until there is an end; every one has to be admitted. */
  const createUntil = async (what: string, ended: () => boolean | Promise<boolean>, withinMs: number) => {
    const before = handshakes;
    const load = startPodLoad(cluster(), podsPerSecond, () => ({ namespace, host: 'registry.example' }));
    await eventually(what, ended, withinMs).finally(load.end);
    const refused = load.sent.filter(({ status }) => status !== 201);
    assert.deepEqual(
      refused.map(({ body }) => body),
      [],
    );
    assert.ok(load.sent.length > 20, `only ${load.sent.length} pods were created`);
    assert.ok(handshakes - before >= load.sent.length, 'each was a handshake');
    return load.sent;
  };

  it('ten certificates and two CAs, without one failed call', async (t) => {
    const [first] = sources;
    const caCertificates = new Set<string>();
    const noted = async () => {
      for (const { id } of (await setting.published()).flat()) caCertificates.add(id);
      return first !== undefined && first.changes.length >= 10 && caCertificates.size >= 3;
    };
    const sent = await createUntil('ten certificates of three CAs', noted, 120_000);
    t.diagnostic(`${sent.length} pods, ${getSendRate(sent).toFixed(1)} a second`);
    const made = sources.flatMap(({ did }) => did('authority-due'));
    assert.ok(made.length >= 2, 'CAs were made because it was time, by one replica each');
    await eventually('old CAs go', async () => (await setting.published())[0]?.length === 1, 20_000);
  });

  it('a Secret that is deleted, spoilt, and deleted again, without one failed call', async () => {
    const damage = [
      () => setting.deleteSecret(),
      () => setting.editSecret((data) => Object.assign(data, { 'ca.key': '', 'tls.crt': '' })),
      () => setting.deleteSecret(),
    ];
    for (const spoil of damage) {
      const before = sources.map(({ certificates }) => certificates.current.fingerprint);
      await spoil();
      await createUntil(
        'all have another certificate',
        () => sources.every(({ certificates }, index) => certificates.current.fingerprint !== before[index]),
        30_000,
      );
      await createUntil('old CAs go', async () => (await setting.published())[0]?.length === 1, 30_000);
    }
  });
});

function allowing(body: unknown) {
  const uid = getField(getField(body, 'request'), 'uid');
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid, allowed: true } };
}
