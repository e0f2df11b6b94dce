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
const tokenLifeMs = 8_000;
const others = ['other-0', 'other-1', 'other-2'];

/** Each stopped every replica, also after a restart: what a tenant may create in its own namespace. */
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

/** Of a name that nothing validates; JSON of the API server has six bytes for each `<`, so one event has 7 MB. */
const longOwner = { apiVersion: 'v1', kind: 'Pod', name: '<'.repeat(1_200_000), uid: 'u' };
const large = ['large-0', 'large-1'];

describeOnCluster('tenants that write what cannot be read into a Secret of our name', (cluster) => {
  let crowd: BulkClient;
  let ecr: EcrDouble;
  let account: string;
  before(async () => {
    crowd = createBulkClient(cluster().kubeconfigPath);
    ecr = await startEcrDouble({ tokenLifeMs });
    account = await installServiceAccount(cluster());
    await crowd.createNamespaces([...large, ...others, ...tenants.map(({ namespace }) => namespace)]);
    const issuedAt = Date.now() - tokenLifeMs / 2;
    await crowd.storeSecrets(others, new Map([[host, { issuedAt, expiresAt: issuedAt + tokenLifeMs }]]));
  });
  after(async () => {
    crowd.close();
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

  /** Twice, so that the second renewal is one that began after all of the tenants' Secrets were seen. */
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
    assert.doesNotMatch(text, /unreadable_objects_total\{/, 'no parser threw');
  };

  it('disturb neither readiness nor the renewal of others, also after a restart', async (t) => {
    const first = await start();
    t.after(() => first.stop());
    for (const { namespace, annotation, labels, type, data } of tenants) {
      await crowd.request('POST', `/api/v1/namespaces/${namespace}/secrets`, {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'ecr-pull-secrets', labels, annotations: { [hostsAnnotation]: annotation } },
        type,
        data,
      });
    }
    for (const namespace of large) {
      await crowd.request('POST', `/api/v1/namespaces/${namespace}/secrets`, {
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
      const body = (await crowd.request(
        'GET',
        `/api/v1/namespaces/${namespace}/secrets/ecr-pull-secrets`,
      )) as {
        metadata: { annotations: Record<string, string> };
      };
      assert.equal(body.metadata.annotations[hostsAnnotation], annotation, 'an unmanaged Secret is left');
    }
  });
});
