import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { ClusterConfig } from '../../src/kube/client.ts';
import { KubeError } from '../../src/kube/errors.ts';
import { type ApplyOptions, type SecretApi, secretApi } from '../../src/kube/secrets.ts';
import { configOf, failsWith, NAME, pullSecret, type Server } from './secret-api-fixtures.ts';

const options: ApplyOptions = { fieldManager: 'one', force: true };
const CANARY = 'canary-5b1f7c';

/** What is refused, and with what error, on any API server. */
export function refusalSuite(server: () => Server): void {
  let config: ClusterConfig;
  let api: SecretApi;
  let namespace: string;
  before(async () => {
    config = configOf(server().kubeconfigPath);
    api = secretApi(config);
    namespace = await server().createNamespace('refusal');
  });
  after(() => config.close());
  const dockerConfig = (text: string) => ({
    ...pullSecret(namespace, 'a'),
    data: { '.dockerconfigjson': Buffer.from(text).toString('base64') },
  });

  it('refuses content that is no JSON, too long or absent', async () => {
    await assert.rejects(api.apply(dockerConfig('{'), options), failsWith('invalid'));
    await assert.rejects(
      api.apply(dockerConfig(`{"x":"${'x'.repeat(1024 * 1024)}"}`), options),
      failsWith('invalid'),
    );
    await assert.rejects(
      api.apply({ ...pullSecret(namespace, 'a'), data: {} }, options),
      failsWith('invalid'),
    );
  });

  it('refuses another type for a Secret that is there', async () => {
    const elsewhere = await server().createNamespace('refusal');
    await api.apply(pullSecret(elsewhere, 'a'), options);
    await assert.rejects(
      api.apply({ ...pullSecret(elsewhere, 'a'), type: 'Opaque' }, options),
      failsWith('invalid'),
    );
  });

  it('keeps nothing of what was sent in the error, nor the token', async () => {
    const secret = { ...dockerConfig(`{ ${CANARY}`), type: `${CANARY}/type` };
    const failing = api.apply({ ...secret, type: 'kubernetes.io/dockerconfigjson' }, options);
    await assert.rejects(failing, (error: unknown) => {
      assert.ok(error instanceof KubeError);
      const { token = '' } = config.getCurrentUser() ?? {};
      for (const text of [error.message, error.stack, JSON.stringify(error), JSON.stringify(error.cause)]) {
        assert.doesNotMatch(
          text ?? '',
          new RegExp(`${CANARY}|${Buffer.from(CANARY).toString('base64').slice(0, 12)}`),
        );
        assert.ok(!text?.includes(token));
      }
      return true;
    });
  });

  it('says not-found for a namespace that is not there', async () => {
    await assert.rejects(api.apply(pullSecret('no-such-namespace', 'a'), options), failsWith('not-found'));
    assert.equal(await api.read('no-such-namespace', NAME), undefined);
  });

  it('says namespace-terminating for one that is being deleted', async () => {
    const ending = await server().createNamespace('refusal');
    await server().request('POST', `/api/v1/namespaces/${ending}/configmaps`, {
      metadata: { name: 'holds', finalizers: ['test/x'] },
    });
    await server().request('DELETE', `/api/v1/namespaces/${ending}`);
    await assert.rejects(api.apply(pullSecret(ending, 'a'), options), failsWith('namespace-terminating'));
  });
}
