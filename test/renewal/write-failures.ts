// Ways in which the API server refuses to write a pull Secret.
import assert from 'node:assert/strict';
import { eventually } from '../support/eventually.ts';
import { secretPath } from '../support/pull-secret.ts';
import type { TestApiServer } from '../support/test-api-server.ts';

/** A reason why the program cannot write a namespace's pull Secret. */
export interface WriteFailureCase {
  readonly name: string;
  /** Whether the operator has to change something. */
  readonly permanent: boolean;
  /** Creates the obstacle, and resolves when it is effective with the function that removes it. */
  put(apiServer: TestApiServer, namespace: string): Promise<() => Promise<void>>;
}

export const writeFailureCases: readonly WriteFailureCase[] = [
  { name: 'a policy webhook that is down', permanent: false, put: policyWebhookDown },
  { name: 'a quota of no Secrets', permanent: true, put: noSecretsQuota },
  { name: 'an unmanaged Secret', permanent: true, put: unmanagedSecret },
];

async function policyWebhookDown(apiServer: TestApiServer, namespace: string) {
  const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';
  const name = `policy-${namespace}`;
  await createObject(apiServer, path, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'ValidatingWebhookConfiguration',
    metadata: { name },
    webhooks: [
      {
        name: 'validate.policy.example.com',
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        failurePolicy: 'Fail',
        timeoutSeconds: 2,
        clientConfig: { url: 'https://127.0.0.1:9/validate' },
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
        rules: [
          { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['secrets'] },
        ],
      },
    ],
  });
  await waitUntilRefused(apiServer, namespace);
  return async () => void (await apiServer.request('DELETE', `${path}/${name}`));
}

async function noSecretsQuota(apiServer: TestApiServer, namespace: string) {
  const path = `/api/v1/namespaces/${namespace}/resourcequotas`;
  const { status, body } = await apiServer.request('POST', path, {
    apiVersion: 'v1',
    kind: 'ResourceQuota',
    metadata: { name: 'none' },
    spec: { hard: { secrets: '0' } },
  });
  assert.equal(status, 201);
  // the quota controller, which would fill this in, does not run here
  const counted = { ...(body as object), status: { hard: { secrets: '0' }, used: { secrets: '0' } } };
  assert.equal((await apiServer.request('PUT', `${path}/none/status`, counted)).status, 200);
  await waitUntilRefused(apiServer, namespace);
  return async () => void (await apiServer.request('DELETE', `${path}/none`));
}

async function unmanagedSecret(apiServer: TestApiServer, namespace: string) {
  await createObject(apiServer, `/api/v1/namespaces/${namespace}/secrets`, {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'ecr-pull-secrets' },
  });
  return async () => void (await apiServer.request('DELETE', secretPath(namespace)));
}

async function waitUntilRefused(apiServer: TestApiServer, namespace: string): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}/secrets?dryRun=All`;
  const probe = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'probe' } };
  await eventually('Secrets are refused', async () => {
    return (await apiServer.request('POST', path, probe)).status !== 201;
  });
}

async function createObject(apiServer: TestApiServer, path: string, object: object): Promise<void> {
  const { status, body } = await apiServer.request('POST', path, object);
  assert.equal(status, 201, JSON.stringify(body));
}
