// Tests that namespaces whose writes hang do not delay others.
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { it } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { startScriptedWebhook } from '../doubles/scripted-webhook.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount, registerWebhook } from '../support/installation.ts';
import { createPod, podWith } from '../support/pods.ts';
import { startProgram } from '../support/program.ts';
import { hostIn } from '../support/program-fixture.ts';
import { readPullSecret, secretPath } from '../support/pull-secret.ts';

const [first, second] = [hostIn('eu-central-1'), hostIn('us-east-1')];
/** More than the maximum of concurrent renewals. */
const slowCount = 10;

describeOnCluster('a webhook that hangs in ten namespaces', (cluster) => {
  it('delays neither admission nor renewal in others, and their Secrets are complete once it responds', async (t) => {
    const ecr = await startEcrDouble();
    const kubeconfigPath = await installServiceAccount(cluster());
    const program = await startProgram({
      kubeconfigPath,
      environment: ecr.env(),
      config: { webhook: { deadlineMargin: '3s' } },
    });
    const webhook = await registerWebhook(cluster(), program);
    const hanging = await startScriptedWebhook();
    const held: ServerResponse[] = [];
    hanging.script = (_, response) => void held.push(response);
    t.after(async () => {
      hanging.stop();
      await webhook.remove();
      await program.stop();
      await ecr.stop();
    });
    const slow = await Promise.all(Array.from({ length: slowCount }, () => webhook.createNamespace()));
    const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
    const created = await cluster().request('POST', path, webhookOn(slow, hanging));
    assert.equal(created.status, 201);
    await eventually('writes hang', async () => {
      const probe = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'probe' } };
      const request = cluster().request('POST', `/api/v1/namespaces/${slow[0]}/secrets?dryRun=All`, probe);
      request.catch(() => undefined); // it hangs until it times out
      return held.length > 0;
    });

    const isReady = async (namespace: string, host: string) =>
      (await readPullSecret(cluster(), namespace))?.auths[host] !== undefined;
    const [warm, other] = [await webhook.createNamespace(), await webhook.createNamespace()];
    await createPod(cluster(), warm, podWith([`${first}/app`, `${second}/app`]));
    await createPod(cluster(), other, podWith([`${first}/app`]));
    await eventually(
      'the tokens are cached',
      async () =>
        (await isReady(warm, first)) && (await isReady(warm, second)) && (await isReady(other, first)),
      30_000,
    );
    const pods = await Promise.all(
      slow.map((namespace) => createPod(cluster(), namespace, podWith([`${first}/app`]))),
    );
    for (const { status, pullSecrets, warnings } of pods) {
      assert.deepEqual([status, pullSecrets], [201, ['ecr-pull-secrets']]);
      assert.deepEqual(warnings, [`no pull token for ${first}: timed out; still in progress`]);
    }
    const pod = await createPod(cluster(), other, podWith([`${second}/app`]));
    assert.deepEqual([pod.pullSecrets, pod.warnings], [['ecr-pull-secrets'], []]);
    await cluster().request('DELETE', secretPath(other));
    await eventually('the deleted Secret is restored', () => isReady(other, second), 30_000);
    for (const namespace of slow) {
      assert.equal(await isReady(namespace, first), false, 'the webhook still hangs');
    }
    await eventually(
      'all ten are counted',
      async () => /failing_hosts\{permanent="false"\} 10/.test(await program.metrics()),
      120_000,
    );
    // more renewals of these hang than may run at the same time
    await eventually('all of them are retried', () => held.length >= 2 * slowCount, 120_000);
    await cluster().request('DELETE', secretPath(other));
    await eventually('it is restored again', () => isReady(other, first), 30_000);

    hanging.script = () => ({ allowed: true });
    for (const response of held) {
      response.destroy();
    }
    await eventually(
      'all Secrets are complete',
      async () =>
        (await Promise.all(slow.map((namespace) => isReady(namespace, first)))).every((ready) => ready),
      120_000,
    );
  });
});

function webhookOn(namespaces: readonly string[], { url, caPem }: { url: string; caPem: string }) {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name: `hanging-${namespaces[0]}` },
    webhooks: [
      {
        name: 'hanging.example.com',
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        failurePolicy: 'Fail',
        timeoutSeconds: 30,
        clientConfig: { url, caBundle: Buffer.from(caPem).toString('base64') },
        namespaceSelector: {
          matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'In', values: [...namespaces] }],
        },
        rules: [
          { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['secrets'] },
        ],
      },
    ],
  };
}
