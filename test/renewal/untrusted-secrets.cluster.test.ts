// Tests that malformed Secrets of tenants do not disturb renewal in other namespaces.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { secretType } from '../../src/pull-secrets/ownership.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { type BulkClient, createBulkClient } from '../support/bulk-requests.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount } from '../support/installation.ts';
import { type RunningProgram, startProgram } from '../support/program.ts';
import { hostIn } from '../support/program-fixture.ts';
import { readPullSecret } from '../support/pull-secret.ts';

const host = hostIn('eu-central-1');
const tokenLifetimeMs = 8_000;
const others = ['other-0', 'other-1', 'other-2'];

/** Annotations that a tenant can write. Each once crashed all replicas, also after a restart. */
const badAnnotations = [
  `{"${host}":{"issuedAt":{"toString":1,"valueOf":1}}}`,
  `{"${host}":{"issuedAt":"2026-11-23T12:00:00Z","expiresAt":{"toString":null,"valueOf":null}}}`,
];
const managedLabels = { [managedByLabel]: productName };
const dockerConfig = { '.dockerconfigjson': Buffer.from('{"auths":{}}').toString('base64') };
const tenants = badAnnotations.flatMap((annotation, index) => [
  { namespace: `labelled-${index}`, annotation, labels: managedLabels, type: secretType, data: dockerConfig },
  { namespace: `unlabelled-${index}`, annotation, labels: {}, type: secretType, data: dockerConfig },
  { namespace: `opaque-${index}`, annotation, labels: managedLabels, type: 'Opaque', data: {} },
]);

/** The API server does not validate this name and encodes each `<` in six bytes, so one watch event has 7 MB. */
const longOwner = { apiVersion: 'v1', kind: 'Pod', name: '<'.repeat(1_200_000), uid: 'u' };
const large = ['large-0', 'large-1'];

describeOnCluster('tenants that create malformed Secrets with the name of the pull Secret', (cluster) => {
  let bulkClient: BulkClient;
  let ecr: EcrDouble;
  let account: string;
  before(async () => {
    bulkClient = createBulkClient(cluster().kubeconfigPath);
    ecr = await startEcrDouble({ tokenLifetimeMs });
    account = await installServiceAccount(cluster());
    await bulkClient.createNamespaces([...large, ...others, ...tenants.map(({ namespace }) => namespace)]);
    const issuedAt = Date.now() - tokenLifetimeMs / 2;
    await bulkClient.storeSecrets(
      others,
      new Map([[host, { issuedAt, expiresAt: issuedAt + tokenLifetimeMs }]]),
    );
  });
  after(async () => {
    bulkClient.close();
    await ecr.stop();
  });

  const start = () =>
    startProgram({
      kubeconfigPath: account,
      environment: ecr.env(),
      config: { tokens: { minimumLife: '1s' } },
    });
  const versionsOf = async () =>
    await Promise.all(others.map(async (name) => (await readPullSecret(cluster(), name))?.resourceVersion));

  /** Waits for two renewals, so that the second one started after all of the tenants' Secrets were observed. */
  const renewsOthers = async ({ statusUrl, metrics }: RunningProgram) => {
    for (let round = 0; round < 2; round += 1) {
      const before = await versionsOf();
      await eventually(
        'every other namespace is renewed',
        async () => (await versionsOf()).every((version, index) => version !== before[index]),
        30_000,
      );
    }
    assert.equal((await fetch(`${statusUrl}/readyz`)).status, 200);
    const text = await metrics();
    assert.match(text, /^ecr_pull_secrets_in_sync 1$/m);
    assert.doesNotMatch(text, /watch_failures_total\{/);
    assert.doesNotMatch(text, /invalid_objects_total\{/, 'no parser threw');
  };

  it('disturb neither readiness nor the renewal of others, also after a restart', async (t) => {
    const first = await start();
    t.after(() => first.stop());
    for (const { namespace, annotation, labels, type, data } of tenants) {
      await bulkClient.request('POST', `/api/v1/namespaces/${namespace}/secrets`, {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'ecr-pull-secrets', labels, annotations: { [hostsAnnotation]: annotation } },
        type,
        data,
      });
    }
    for (const namespace of large) {
      await bulkClient.request('POST', `/api/v1/namespaces/${namespace}/secrets`, {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'ecr-pull-secrets', ownerReferences: [longOwner] },
      });
    }
    await renewsOthers(first);
    await first.stop();
    const second = await start();
    t.after(() => second.stop());
    await renewsOthers(second);
    for (const { namespace, annotation } of tenants.filter(({ labels }) => labels !== managedLabels)) {
      const body = (await bulkClient.request(
        'GET',
        `/api/v1/namespaces/${namespace}/secrets/ecr-pull-secrets`,
      )) as {
        metadata: { annotations: Record<string, string> };
      };
      assert.equal(
        body.metadata.annotations[hostsAnnotation],
        annotation,
        'an unmanaged Secret is not changed',
      );
    }
  });
});
