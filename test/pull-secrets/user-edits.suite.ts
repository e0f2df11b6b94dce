// Tests that any edit of a pull Secret by a user is repaired without losing valid entries, on any API server.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { defaultDecision } from '../../src/ecr/identity.ts';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { createSecretApi } from '../../src/kube/secrets.ts';
import { managedByLabel, productName } from '../../src/labels.ts';
import { mergeIntoSecret } from '../../src/pull-secrets/apply.ts';
import { createTokenRules } from '../../src/pull-secrets/host-needs.ts';
import { noOperatorMetadata } from '../../src/pull-secrets/operator-metadata.ts';
import { secretType } from '../../src/pull-secrets/ownership.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { createSecretStore } from '../../src/pull-secrets/secret-store.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { resolveRegistry } from '../support/registries.ts';
import type { TestApiServer } from '../support/test-api-server.ts';
import { editedByUser, fixedDocuments } from './docker-config-generators.ts';
import { fakeToken, hourMs } from './pull-secret-fixtures.ts';

const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';

/** Documents that the API server does not store in a Secret of type kubernetes.io/dockerconfigjson. */
const isRefusedByApiServer = (document: string): boolean => {
  try {
    const value: unknown = JSON.parse(document);
    return typeof value !== 'object' || Array.isArray(value);
  } catch {
    return true;
  }
};

describeOnEachApiServer('edits of a pull Secret by users', editedSuite);

/** How the program handles content that users write into a pull Secret, on any API server. */
function editedSuite(apiServer: () => TestApiServer): void {
  const lines: string[] = [];
  const config = () =>
    loadKubeConfig({
      kubeconfigPath: apiServer().kubeconfigPath,
      requestTimeoutMs: 30_000,
      userAgent: 'test',
    });
  let kube: ReturnType<typeof config>;
  before(() => {
    kube = config();
  });
  after(() => kube.close());

  const store = async (namespace: string, document: string, name = 'ecr-pull-secrets') => {
    const { status } = await apiServer().request('POST', `/api/v1/namespaces/${namespace}/secrets`, {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name, labels: { [managedByLabel]: productName } },
      type: secretType,
      data: { '.dockerconfigjson': Buffer.from(document).toString('base64') },
    });
    return status;
  };

  it('is stored if it is a JSON object or null, whether or not the kubelet accepts it', async () => {
    const namespace = await apiServer().createNamespace();
    // The stand-in has no maximum depth.
    const documents = fixedDocuments.filter((document) => document.length < 5_000);
    for (const [index, document] of documents.entries()) {
      const expected = isRefusedByApiServer(document) ? 422 : 201;
      assert.equal(await store(namespace, document, `config-${index}`), expected, document);
    }
  });

  it('loses only what the kubelet refuses when the Secret is written, and that is logged', async () => {
    const namespace = await apiServer().createNamespace();
    assert.equal(await store(namespace, editedByUser), 201);
    const now = Date.now();
    await mergeIntoSecret(namespace, new Map([[host, fakeToken('new', now)]]), {
      store: createSecretStore(createSecretApi(kube), 'ecr-pull-secrets', 'a', noOperatorMetadata),
      secretCache: new SecretCache(resolveRegistry),
      resolveRegistry,
      log: createJsonLog('warn', { write: (line) => lines.push(line) }),
      countWrite: () => undefined,
      rules: createTokenRules({
        freshness: { fraction: 0.5, floorMs: hourMs },
        maxHosts: 200,
        identityOf: () => defaultDecision,
        now: () => now,
      }),
    });
    const written = await readPullSecret(apiServer(), namespace);
    assert.deepEqual(written?.auths, {
      [host]: { auth: btoa('AWS:new') },
      'nulls.example.com': { username: 'u', password: 'p', email: null, auth: 'dTpw' },
    });
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).path),
      ['auths["space.example.com"]', 'auths["case.example.com"]'],
    );
  });
}
