// Fixture of tests with managed certificates: a namespace with the permissions of the docs, and replicas.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { type CaCertificate, parseCaBundle } from '../../src/certificates/ca-bundle.ts';
import { parseStored, type StoredCertificates } from '../../src/certificates/certificate-secret.ts';
import type { CertificateLocation } from '../../src/certificates/certificate-store.ts';
import type { KeyPair } from '../../src/certificates/key-pair.ts';
import { ManagedCertificates, type ReconcileTiming } from '../../src/certificates/managed-certificates.ts';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import type { TestApiServer } from '../support/test-api-server.ts';
import { dayMs } from './test-certificates.ts';

const rbacPath = '/apis/rbac.authorization.k8s.io/v1';
const webhookConfigurationsPath = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';
const secretName = 'ecr-pull-secrets-tls';
export const certificateNames = ['web.apps.svc', '127.0.0.1'];

/** A namespace, a ServiceAccount with the permissions of docs/how-to/certificates.md, and a webhook configuration. */
export interface CertificatesFixture {
  readonly location: CertificateLocation;
  /** Kubeconfig of the ServiceAccount. */
  readonly kubeconfigPath: string;
  /** Returns the content of the Secret; undefined if it does not exist. */
  stored(): Promise<StoredCertificates | undefined>;
  /** Returns the CAs in the caBundle of each webhook. */
  published(): Promise<readonly CaCertificate[][]>;
  deleteSecret(): Promise<void>;
  /** Changes the content of the Secret, as an operator would. */
  editSecret(change: (data: Record<string, string>) => void): Promise<void>;
  /** Sets the caBundle of all webhooks, or removes it. */
  setCaBundle(text: string | undefined): Promise<void>;
}

export interface CertificatesFixtureOptions {
  /** URL of the webhooks. Default: a Service. */
  readonly url?: string;
  readonly namespaceSelector?: unknown;
  /** Permissions on the webhook configuration. */
  readonly verbs?: readonly string[];
  readonly webhooks?: number;
}

export async function createCertificatesFixture(
  apiServer: TestApiServer,
  options: CertificatesFixtureOptions = {},
): Promise<CertificatesFixture> {
  const namespace = await apiServer.createNamespace('certificates');
  const webhookConfiguration = `zz-${namespace}`;
  const location = { namespace, secretName, webhookConfiguration };
  const kubeconfigPath = await createServiceAccount(
    apiServer,
    location,
    options.verbs ?? ['get', 'list', 'watch', 'patch'],
  );
  await createObject(apiServer, webhookConfigurationsPath, buildWebhookConfiguration(location, options));
  const secretPath = `/api/v1/namespaces/${namespace}/secrets/${secretName}`;
  const configurationPath = `${webhookConfigurationsPath}/${webhookConfiguration}`;
  const get = async (path: string) => {
    const { status, body } = await apiServer.request('GET', path);
    // biome-ignore lint/suspicious/noExplicitAny: whatever the API server has
    return status === 404 ? undefined : (body as any);
  };
  const put = async (path: string, object: unknown) => {
    const { status, body } = await apiServer.request('PUT', path, object);
    assert.equal(status, 200, JSON.stringify(body));
  };
  return {
    location,
    kubeconfigPath,
    stored: async () => {
      const secret = await get(secretPath);
      return secret === undefined ? undefined : parseStored(secret.data ?? {}, certificateNames);
    },
    published: async () => {
      const { webhooks } = await get(configurationPath);
      return webhooks.map(({ clientConfig }: { clientConfig: { caBundle?: string } }) => [
        ...parseCaBundle(atob(clientConfig.caBundle ?? '')).caCertificates,
      ]);
    },
    deleteSecret: async () => {
      assert.equal((await apiServer.request('DELETE', secretPath)).status, 200);
    },
    editSecret: async (change) => {
      const { metadata, ...secret } = await get(secretPath);
      const { name, labels, resourceVersion } = metadata;
      change(secret.data);
      await put(secretPath, { ...secret, metadata: { name, namespace, labels, resourceVersion } });
    },
    setCaBundle: async (text) => {
      const { metadata, webhooks, ...rest } = await get(configurationPath);
      for (const { clientConfig } of webhooks) {
        if (text === undefined) {
          delete clientConfig.caBundle;
        } else {
          clientConfig.caBundle = btoa(text);
        }
      }
      const { name, resourceVersion } = metadata;
      await put(configurationPath, { ...rest, webhooks, metadata: { name, resourceVersion } });
    },
  };
}

/** A replica with managed certificates. */
export interface TestReplica {
  readonly certificates: ManagedCertificates;
  /** The key pairs that it switched to, in order. */
  readonly changes: KeyPair[];
  /** Everything that it logged, as text and parsed. */
  output(): string;
  log(): Record<string, string>[];
  /** Log lines of the steps taken for a reason. */
  did(reason: string): Record<string, string>[];
  end(): Promise<void>;
}

export interface TestReplicaOptions {
  readonly names?: readonly string[];
  readonly caLifetimeMs?: number;
  readonly certificateLifetimeMs?: number;
  readonly timing?: Partial<ReconcileTiming>;
  readonly now?: () => number;
  readonly onChange?: (keyPair: KeyPair) => void;
}

/** Starts a replica and waits for its first certificate. */
export async function startReplica(
  fixture: CertificatesFixture,
  options: TestReplicaOptions = {},
): Promise<TestReplica> {
  const { opening, ...rest } = openReplica(fixture, options);
  return { ...rest, certificates: await opening };
}

/** Starts a replica that may not get a certificate; `opening` resolves when it has one. */
export function openReplica(
  { location, kubeconfigPath }: CertificatesFixture,
  options: TestReplicaOptions = {},
) {
  const {
    names = certificateNames,
    caLifetimeMs = 365 * dayMs,
    certificateLifetimeMs = 7 * dayMs,
    now = Date.now,
  } = options;
  const cluster = loadKubeConfig({
    kubeconfigPath,
    requestTimeoutMs: 5_000,
    userAgent: 'certificates-test/1',
  });
  const lines: string[] = [];
  const changes: KeyPair[] = [];
  const opening = ManagedCertificates.open({
    cluster,
    location,
    issueRules: { names, caLifetimeMs, certificateLifetimeMs },
    onChange: (keyPair) => {
      options.onChange?.(keyPair);
      changes.push(keyPair);
    },
    log: createJsonLog('debug', { write: (line) => lines.push(line) }),
    now,
    timing: { apiServerPropagationMs: 500, replicaPropagationMs: 1_000, tickMs: 100, ...options.timing },
  });
  const log = () => lines.map((line) => JSON.parse(line));
  return {
    opening,
    changes,
    output: () => lines.join(''),
    log,
    did: (reason: string) => log().filter((line) => line['reason'] === reason),
    end: async () => {
      await (await opening).close();
      await cluster.close();
    },
  };
}

function buildWebhookConfiguration(
  { namespace, webhookConfiguration }: CertificateLocation,
  options: CertificatesFixtureOptions,
) {
  const { url, namespaceSelector = { matchLabels: { matches: 'nothing' } }, webhooks = 2 } = options;
  const clientConfig = url === undefined ? { service: { name: 'web', namespace, path: '/mutate' } } : { url };
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: webhookConfiguration },
    webhooks: Array.from({ length: webhooks }, (_, index) => ({
      name: `w${index}.ecr-pull-secrets.io`,
      admissionReviewVersions: ['v1'],
      clientConfig: { ...clientConfig },
      failurePolicy: 'Fail',
      sideEffects: 'NoneOnDryRun',
      // Long, because calls may be slow on a busy machine.
      timeoutSeconds: 20,
      namespaceSelector,
      rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
    })),
  };
}

async function createServiceAccount(
  apiServer: TestApiServer,
  location: CertificateLocation,
  verbs: readonly string[],
): Promise<string> {
  const { namespace, webhookConfiguration } = location;
  const name = `certificates-${randomBytes(4).toString('hex')}`;
  const apiGroup = 'rbac.authorization.k8s.io';
  const subjects = [{ kind: 'ServiceAccount', namespace, name }];
  const here = `${rbacPath}/namespaces/${namespace}`;
  await createObject(apiServer, `${here}/roles`, {
    apiVersion: `${apiGroup}/v1`,
    kind: 'Role',
    metadata: { name },
    rules: [
      {
        apiGroups: [''],
        resources: ['secrets'],
        resourceNames: [secretName],
        verbs: ['get', 'list', 'watch', 'create', 'patch'],
      },
    ],
  });
  await createObject(apiServer, `${here}/rolebindings`, {
    apiVersion: `${apiGroup}/v1`,
    kind: 'RoleBinding',
    metadata: { name },
    roleRef: { apiGroup, kind: 'Role', name },
    subjects,
  });
  await createObject(apiServer, `${rbacPath}/clusterroles`, {
    apiVersion: `${apiGroup}/v1`,
    kind: 'ClusterRole',
    metadata: { name },
    rules: [
      {
        apiGroups: ['admissionregistration.k8s.io'],
        resources: ['mutatingwebhookconfigurations'],
        resourceNames: [webhookConfiguration],
        verbs,
      },
    ],
  });
  await createObject(apiServer, `${rbacPath}/clusterrolebindings`, {
    apiVersion: `${apiGroup}/v1`,
    kind: 'ClusterRoleBinding',
    metadata: { name },
    roleRef: { apiGroup, kind: 'ClusterRole', name },
    subjects,
  });
  return await apiServer.serviceAccountKubeconfig(namespace, name);
}

async function createObject(apiServer: TestApiServer, path: string, object: unknown): Promise<void> {
  const { status, body } = await apiServer.request('POST', path, object);
  assert.equal(status, 201, `POST ${path}: ${JSON.stringify(body)}`);
}
