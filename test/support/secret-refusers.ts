// Makes an API server refuse Secrets: admission policies, webhooks and quotas of one namespace.
import { eventually } from './eventually.ts';
import { expectCreated } from './installation.ts';
import type { TestApiServer } from './test-api-server.ts';

const group = '/apis/admissionregistration.k8s.io/v1';
const rules = [
  { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['secrets'] },
];

type Kind = 'Validating' | 'Mutating';

const selectNamespace = (namespace: string): object => ({
  namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
});

/** Creates an admission policy for Secrets. `spec` adds its validations or mutations. */
export async function createAdmissionPolicy(
  apiServer: TestApiServer,
  kind: Kind,
  name: string,
  spec: object,
): Promise<void> {
  await expectCreated(apiServer, `${group}/${kind.toLowerCase()}admissionpolicies`, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: `${kind}AdmissionPolicy`,
    metadata: { name },
    spec: { failurePolicy: 'Fail', matchConstraints: { resourceRules: rules }, ...spec },
  });
}

/** Binds an admission policy to one namespace. The binding has the name of the policy. */
export async function bindPolicy(
  apiServer: TestApiServer,
  kind: Kind,
  name: string,
  namespace: string,
  spec: object = {},
): Promise<void> {
  await expectCreated(apiServer, `${group}/${kind.toLowerCase()}admissionpolicybindings`, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: `${kind}AdmissionPolicyBinding`,
    metadata: { name },
    spec: {
      policyName: name,
      matchResources: selectNamespace(namespace),
      ...(kind === 'Validating' && { validationActions: ['Deny'] }),
      ...spec,
    },
  });
}

/** Registers a webhook for the Secrets of one namespace, with failurePolicy Fail. */
export async function registerRefusingWebhook(
  apiServer: TestApiServer,
  kind: Kind,
  name: string,
  namespace: string,
  { url, caPem }: { readonly url: string; readonly caPem: string },
  changes: object = {},
): Promise<void> {
  await expectCreated(apiServer, `${group}/${kind.toLowerCase()}webhookconfigurations`, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: `${kind}WebhookConfiguration`,
    metadata: { name: `${namespace}-${kind.toLowerCase()}` },
    webhooks: [
      {
        name,
        admissionReviewVersions: ['v1'],
        clientConfig: { url, caBundle: btoa(caPem) },
        failurePolicy: 'Fail',
        sideEffects: 'None',
        timeoutSeconds: 2,
        ...selectNamespace(namespace),
        rules,
        ...changes,
      },
    ],
  });
}

/** Creates a quota that allows no Secret. Sets its status too, because no controller does. */
export async function createSecretQuota(
  apiServer: TestApiServer,
  namespace: string,
  name: string,
): Promise<void> {
  const path = `/api/v1/namespaces/${namespace}/resourcequotas`;
  const hard = { 'count/secrets': '0' };
  await expectCreated(apiServer, path, { metadata: { name }, spec: { hard } });
  const { body } = await apiServer.request('GET', `${path}/${name}`);
  const status = { hard, used: { 'count/secrets': '0' } };
  await apiServer.request('PUT', `${path}/${name}/status`, { ...Object(body), status });
  await eventually(
    'the quota is in force',
    async () => {
      const secrets = `/api/v1/namespaces/${namespace}/secrets?dryRun=All`;
      return (await apiServer.request('POST', secrets, { metadata: { name: 'probe' } })).status === 403;
    },
    60_000,
  );
}
