// Installs the permissions and the webhook configuration of the program in a test cluster.
import { randomBytes } from 'node:crypto';
import { eventually } from './eventually.ts';
import { createPod, podWith } from './pods.ts';
import type { TestApiServer } from './test-api-server.ts';

/** The cluster-wide permissions of the program: five verbs on Secrets of one name, create Events, and list pods. */
const clusterRole = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'ClusterRole',
  rules: [
    {
      apiGroups: [''],
      resources: ['secrets'],
      resourceNames: ['ecr-pull-secrets'],
      verbs: ['get', 'list', 'watch', 'create', 'patch'],
    },
    { apiGroups: [''], resources: ['events'], verbs: ['create'] },
    { apiGroups: [''], resources: ['pods'], verbs: ['list'] },
  ],
};

/** Needed if a rule selects namespaces by their labels. */
const namespaceRule = { apiGroups: [''], resources: ['namespaces'], verbs: ['list', 'watch'] };

/**
 * Creates a namespace and a ServiceAccount with only the permissions that the program needs.
 * @param options.watchesNamespaces whether rules select namespaces by their labels
 * @returns the path of the account's kubeconfig
 */
export async function installServiceAccount(
  apiServer: TestApiServer,
  { watchesNamespaces = false } = {},
): Promise<string> {
  const namespace = await apiServer.createNamespace('ecr-pull-secrets');
  const kubeconfigPath = await apiServer.serviceAccountKubeconfig(namespace, 'ecr-pull-secrets');
  const rbac = '/apis/rbac.authorization.k8s.io/v1';
  const name = `ecr-pull-secrets-${randomBytes(3).toString('hex')}`;
  const rules = [...clusterRole.rules, ...(watchesNamespaces ? [namespaceRule] : [])];
  await expectCreated(apiServer, `${rbac}/clusterroles`, { ...clusterRole, rules, metadata: { name } });
  await expectCreated(apiServer, `${rbac}/clusterrolebindings`, {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRoleBinding',
    metadata: { name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
    subjects: [{ kind: 'ServiceAccount', name: 'ecr-pull-secrets', namespace }],
  });
  return kubeconfigPath;
}

export interface WebhookTarget {
  readonly webhookUrl: string;
  readonly caPem: string;
  /** How long the API server waits for a response, in seconds; 10 if not given. At most 30. */
  readonly timeoutSeconds?: number;
}

/** A webhook that is registered, and the namespaces for which it is called. */
export interface RegisteredWebhook {
  /** @param name a random name if not given */
  createNamespace(name?: string): Promise<string>;
  remove(): Promise<void>;
}

/** Registers the webhook with the API server, for its own namespaces, and waits until the API server calls it. */
export async function registerWebhook(
  apiServer: TestApiServer,
  { webhookUrl, caPem, timeoutSeconds = 10 }: WebhookTarget,
): Promise<RegisteredWebhook> {
  const label = randomBytes(4).toString('hex');
  const path = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
  const name = `zz-ecr-pull-secrets-${label}`;
  const namespaces: string[] = [];
  const createNamespace = async (namespace = `team-${randomBytes(4).toString('hex')}`) => {
    await expectCreated(apiServer, '/api/v1/namespaces', {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace, labels: { 'ecr-test': label } },
    });
    namespaces.push(namespace);
    return namespace;
  };
  await expectCreated(apiServer, path, {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name },
    webhooks: [
      {
        name: 'pods.ecr-pull-secrets.io',
        admissionReviewVersions: ['v1'],
        clientConfig: { url: webhookUrl, caBundle: Buffer.from(caPem).toString('base64') },
        failurePolicy: 'Fail',
        reinvocationPolicy: 'IfNeeded',
        sideEffects: 'NoneOnDryRun',
        timeoutSeconds,
        namespaceSelector: { matchLabels: { 'ecr-test': label } },
        rules: [
          { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['pods'] },
          {
            apiGroups: [''],
            apiVersions: ['v1'],
            operations: ['UPDATE'],
            resources: ['pods/ephemeralcontainers'],
          },
        ],
      },
    ],
  });
  const probe = await createNamespace();
  await eventually('the API server calls the webhook', async () => {
    const image = '123456789012.dkr.ecr.eu-north-1.amazonaws.com/probe:1';
    const created = await createPod(apiServer, probe, podWith([image]), { dryRun: true });
    return created.pullSecrets.length > 0;
  });
  return {
    createNamespace,
    remove: async () => {
      await apiServer.request('DELETE', `${path}/${name}`);
      await Promise.all(
        namespaces.map((namespace) => apiServer.request('DELETE', `/api/v1/namespaces/${namespace}`)),
      );
    },
  };
}

export async function expectCreated(apiServer: TestApiServer, path: string, object: unknown): Promise<void> {
  const { status, body } = await apiServer.request('POST', path, object);
  if (status !== 201) {
    throw new Error(`POST ${path}: ${status} ${JSON.stringify(body)}`);
  }
}
