// Tests which error a refused write of a Secret results in, on any API server.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import type { ClusterConfig } from '../../src/kube/client.ts';
import { KubeError } from '../../src/kube/errors.ts';
import { type ApplyOptions, createSecretApi, type SecretApi } from '../../src/kube/secrets.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import {
  buildPullSecret,
  createConfig,
  hasErrorCode,
  secretName,
  type TestApi,
} from './secret-api-fixtures.ts';

const options: ApplyOptions = { fieldManager: 'one', force: true };
const canaryText = 'canary-5b1f7c';

describeOnEachApiServer('refused writes of Secrets', refusalSuite);

/** What the API server rejects, and with which error. */
function refusalSuite(server: () => TestApi): void {
  let config: ClusterConfig;
  let api: SecretApi;
  let namespace: string;
  before(async () => {
    config = createConfig(server().kubeconfigPath);
    api = createSecretApi(config);
    namespace = await server().createNamespace('refusal');
  });
  after(() => config.close());
  const dockerConfig = (text: string) => ({
    ...buildPullSecret(namespace, 'a'),
    data: { '.dockerconfigjson': Buffer.from(text).toString('base64') },
  });

  it('rejects content that is not JSON, too long or missing', async () => {
    await assert.rejects(api.apply(dockerConfig('{'), options), hasErrorCode('invalid'));
    await assert.rejects(
      api.apply(dockerConfig(`{"x":"${'x'.repeat(1024 * 1024)}"}`), options),
      hasErrorCode('invalid'),
    );
    await assert.rejects(
      api.apply({ ...buildPullSecret(namespace, 'a'), data: {} }, options),
      hasErrorCode('invalid'),
    );
  });

  it('rejects another type for an existing Secret', async () => {
    const elsewhere = await server().createNamespace('refusal');
    await api.apply(buildPullSecret(elsewhere, 'a'), options);
    await assert.rejects(
      api.apply({ ...buildPullSecret(elsewhere, 'a'), type: 'Opaque' }, options),
      hasErrorCode('invalid'),
    );
  });

  it('has no request data and no token in the error', async () => {
    const secret = { ...dockerConfig(`{ ${canaryText}`), type: `${canaryText}/type` };
    const failing = api.apply({ ...secret, type: 'kubernetes.io/dockerconfigjson' }, options);
    await assert.rejects(failing, (error: unknown) => {
      assert.ok(error instanceof KubeError);
      const { token = '' } = config.getCurrentUser() ?? {};
      for (const text of [error.message, error.stack, JSON.stringify(error), JSON.stringify(error.cause)]) {
        assert.doesNotMatch(
          text ?? '',
          new RegExp(`${canaryText}|${Buffer.from(canaryText).toString('base64').slice(0, 12)}`),
        );
        assert.ok(!text?.includes(token));
      }
      return true;
    });
  });

  it('fails with not-found for a missing namespace', async () => {
    await assert.rejects(
      api.apply(buildPullSecret('no-such-namespace', 'a'), options),
      hasErrorCode('not-found'),
    );
    assert.equal(await api.read('no-such-namespace', secretName), undefined);
  });

  it('fails with namespace-terminating for one that is being deleted', async () => {
    const ending = await server().createNamespace('refusal');
    await server().request('POST', `/api/v1/namespaces/${ending}/configmaps`, {
      metadata: { name: 'holds', finalizers: ['test/x'] },
    });
    await server().request('DELETE', `/api/v1/namespaces/${ending}`);
    await assert.rejects(
      api.apply(buildPullSecret(ending, 'a'), options),
      hasErrorCode('namespace-terminating'),
    );
  });
}
