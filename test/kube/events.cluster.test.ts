// Tests that a real API server accepts the program's Events.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { createEventApi } from '../../src/kube/events.ts';
import { getField, getItems } from '../../src/util/json.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { installServiceAccount } from '../support/installation.ts';

describeOnCluster('Events on a real API server', (cluster) => {
  it('are shown for their object and created once per name', async () => {
    const namespace = await cluster().createNamespace();
    const kubeconfigPath = await installServiceAccount(cluster());
    const replicas = ['a', 'b'].map((userAgent) =>
      createEventApi(
        loadKubeConfig({ kubeconfigPath, requestTimeoutMs: 5_000, userAgent }),
        'ecr-pull-secrets',
      ),
    );
    const event = {
      name: 'ecr-pull-secrets.failing.1a2b3c4d',
      object: { kind: 'Secret', namespace, name: 'ecr-pull-secrets' },
      type: 'Warning' as const,
      reason: 'PullTokenRefused',
      message: 'x'.repeat(3000),
      at: Date.now(),
    };
    const results = [];
    for (const replica of replicas) {
      results.push(await replica.create(event));
    }
    assert.deepEqual(results, [true, false]);
    const { body } = await cluster().request('GET', `/api/v1/namespaces/${namespace}/events`);
    const [shown, ...others] = getItems(getField(body, 'items'));
    assert.deepEqual(others, []);
    assert.equal(getField(getField(shown, 'involvedObject'), 'name'), 'ecr-pull-secrets');
    assert.equal(getField(shown, 'reason'), 'PullTokenRefused');
    assert.equal(String(getField(shown, 'message')).length, 1024);
  });

  it('are rejected with the code of the refusal', async () => {
    const namespace = await cluster().createNamespace();
    const kubeconfigPath = await cluster().serviceAccountKubeconfig(namespace, 'nobody');
    const api = createEventApi(
      loadKubeConfig({ kubeconfigPath, requestTimeoutMs: 5_000, userAgent: 'test' }),
      'x',
    );
    const object = { kind: 'Secret', namespace, name: 'ecr-pull-secrets' };
    const event = { name: 'x', object, type: 'Normal' as const, reason: 'X', message: '', at: 0 };
    await assert.rejects(api.create(event), { name: 'KubeError', code: 'forbidden' });
  });
});
