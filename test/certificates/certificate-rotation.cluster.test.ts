// Tests that rotations and repairs of the certificate fail no call of a real API server to the webhook.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { getRenewalTime } from '../../src/certificates/certificate-state.ts';
import { backdateMs } from '../../src/certificates/issue.ts';
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

/**
 * Lifetimes on the replicas' clock, in ms; X.509 counts in whole seconds. Ten renewals after two thirds of a certificate's
 * lifetime, with two CA rotations, take 120 s on that clock.
 */
const lifetimes = { certificateLifetimeMs: 18_000, caLifetimeMs: 72_000 };
const renewalIntervalMs = (lifetimes.certificateLifetimeMs * 2) / 3;
const podsPerSecond = 50;
const timing = {
  // In real time: how long API servers may need to receive a new CA, even on a busy machine.
  apiServerPropagationMs: 5_000,
  // On the replicas' clock, which the test advances only when every replica serves the stored certificate.
  replicaPropagationMs: 0,
  tickMs: 100,
  pollMs: 1_000,
};

/**
 * The clock of the replicas. It stands still until the test advances it, so no certificate expires because the machine is slow.
 * It is ahead of real time, because API servers check certificates against real time: a certificate is backdated by
 * {@link backdateMs}, and the further ahead it is issued, the longer it remains valid.
 */
class ReplicaClock {
  /** In ms since the epoch, in whole seconds. */
  now = Math.ceil(Date.now() / 1_000) * 1_000 + 80_000;

  /** Advances the clock to the next renewal, unless the next certificate would not yet be valid in real time. */
  advance(): void {
    const next = this.now + renewalIntervalMs;
    if (next <= Date.now() + backdateMs - 10_000) {
      this.now = next;
    }
  }
}

// Pods are created on a real API server, which calls a real webhook server with the certificate of one of three replicas.
describeOnCluster('certificate rotation while pods are created', (cluster) => {
  let clock: ReplicaClock;
  let app: Webhook;
  let fixture: CertificatesFixture;
  let replicas: TestReplica[];
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
      handleReview: (body) => ({ status: 200, body: JSON.stringify(allow(body)) }),
      // Closes the connection after each response, so that each call is a new handshake.
      isDraining: () => true,
      log: createStandardLog('error').log,
    });
    app.server.on('secureConnection', () => {
      handshakes += 1;
    });
    const url = `${await app.listen({ host: '127.0.0.1', port: 0 })}/mutate`;
    const label = randomBytes(4).toString('hex');
    const namespaceSelector = { matchLabels: { certificates: label } };
    fixture = await createCertificatesFixture(cluster(), { url, namespaceSelector, webhooks: 1 });
    namespace = await createLabelledNamespace(label);
    const serve = ({ certPem, keyPem }: { certPem: string; keyPem: string }) =>
      updateTlsIdentity(app, { certPem, keyPem, clientCaPem: undefined });
    clock = new ReplicaClock();
    const options = { ...lifetimes, timing, now: () => clock.now };
    replicas = await Promise.all([
      startReplica(fixture, { ...options, onChange: serve }),
      startReplica(fixture, options),
    ]);
    replicas.push(await startReplica(fixture, options));
    serve(replicas[0]?.certificates.current ?? { certPem: '', keyPem: '' });
  });
  beforeEach(async () => {
    await eventually(
      'the API server trusts the webhook',
      async () => (await create()).status === 201,
      60_000,
    );
  });
  after(async () => {
    for (const { end } of replicas) {
      await end();
    }
    await app.close();
  });
  const createLabelledNamespace = async (label: string) => {
    const name = await cluster().createNamespace('pods');
    const path = `/api/v1/namespaces/${name}`;
    const { body } = await cluster().request('GET', path);
    const metadata = { ...Object(getField(body, 'metadata')), labels: { certificates: label } };
    await cluster().request('PUT', path, { ...Object(body), metadata });
    return name;
  };
  const create = () => createPod(cluster(), namespace, podWith(['an-image']));
  /** Creates 50 pods per second until a condition holds. Every pod must be admitted. */
  const createUntil = async (what: string, isDone: () => Promise<boolean>, withinMs: number) => {
    const before = handshakes;
    const load = startPodLoad(cluster(), podsPerSecond, () => ({ namespace, host: 'registry.example' }));
    await eventually(what, isDone, withinMs).finally(load.stop);
    const rejected = load.sent.filter(({ status }) => status !== 201);
    assert.deepEqual(
      rejected.map(({ body }) => body),
      [],
    );
    assert.ok(load.sent.length > 20, `only ${load.sent.length} pods were created`);
    assert.ok(handshakes - before >= load.sent.length, 'each call was a handshake');
    return load.sent;
  };
  /** Whether all replicas serve the stored certificate of the newest CA, its CAs are published, and no renewal is due. */
  const isSettled = async () => {
    const stored = await fixture.stored();
    const published = await fixture.published();
    const [newest] = stored?.caCertificates ?? [];
    const serving = stored?.servingCertificate;
    return (
      newest !== undefined &&
      serving?.issuerId === newest.id &&
      [newest, serving].every((certificate) => getRenewalTime(certificate) > clock.now) &&
      replicas.every(({ certificates }) => certificates.current.fingerprint === serving.id) &&
      published.every((bundle) => isDeepStrictEqual(listIds(bundle), listIds(stored?.caCertificates ?? [])))
    );
  };
  /** Advances the clock whenever everything is settled, until a condition holds. */
  const advanceUntil = (condition: () => Promise<boolean>) => async () => {
    if (await condition()) {
      return true;
    }
    if (await isSettled()) {
      clock.advance();
    }
    return false;
  };
  const isOldCaRemoved = async () => (await fixture.published())[0]?.length === 1;

  it('renews ten certificates and two CAs without a failed call', async (t) => {
    const [first] = replicas;
    const publishedCas = new Set<string>();
    const isDone = async () => {
      for (const id of listIds((await fixture.published()).flat())) {
        publishedCas.add(id);
      }
      return first !== undefined && first.changes.length >= 10 && publishedCas.size >= 3;
    };
    const sent = await createUntil('ten certificates of three CAs', advanceUntil(isDone), 150_000);
    t.diagnostic(`${sent.length} pods, ${getSendRate(sent).toFixed(1)} per second`);
    const issued = replicas.flatMap(({ did }) => did('ca-due'));
    assert.ok(issued.length >= 2, 'CAs were issued because they were due, by one replica each');
    await eventually('old CAs are removed', advanceUntil(isOldCaRemoved), 60_000);
  });

  it('repairs a Secret that is deleted, damaged and deleted again, without a failed call', async () => {
    const damages = [
      () => fixture.deleteSecret(),
      () => fixture.editSecret((data) => Object.assign(data, { 'ca.key': '', 'tls.crt': '' })),
      () => fixture.deleteSecret(),
    ];
    for (const damage of damages) {
      const before = replicas.map(({ certificates }) => certificates.current.fingerprint);
      await damage();
      await createUntil(
        'all replicas serve another certificate',
        async () =>
          replicas.every(({ certificates }, index) => certificates.current.fingerprint !== before[index]),
        60_000,
      );
      await createUntil('old CAs are removed', advanceUntil(isOldCaRemoved), 60_000);
    }
  });
});

function allow(body: unknown) {
  const uid = getField(getField(body, 'request'), 'uid');
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: { uid, allowed: true } };
}

function listIds(caCertificates: readonly { readonly id: string }[]): string[] {
  return caCertificates.map(({ id }) => id);
}
