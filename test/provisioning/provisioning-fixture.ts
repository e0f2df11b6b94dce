// Runs provisioning in this process, and creates the accounts, namespaces and ServiceAccounts for it.
import { randomBytes } from 'node:crypto';
import { stringify } from 'yaml';
import { createApp } from '../../src/app.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { watchSecretMetadata } from '../../src/kube/secret-metadata.ts';
import { notifyOnChange } from '../../src/provisioning/cluster-cache.ts';
import { ProvisioningController } from '../../src/provisioning/provisioning-controller.ts';
import { resolveSettings } from '../../src/provisioning/provisioning-settings.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { getField, getItems } from '../../src/util/json.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import type { ApiServerResponse, TestApiServer } from '../support/test-api-server.ts';

const rbac = '/apis/rbac.authorization.k8s.io/v1';

/** Starts an ECR double for this process, in which the AWS SDK reads the environment itself. */
export async function startEcr(): Promise<EcrDouble> {
  const ecr = await startEcrDouble();
  Object.assign(process.env, ecr.env());
  return ecr;
}

/** The program's permissions for Secrets. */
export const secretsRule = {
  apiGroups: [''],
  resources: ['secrets'],
  resourceNames: ['ecr-pull-secrets'],
  verbs: ['get', 'list', 'watch', 'create', 'patch'],
};

/** The program's permission for pods. */
export const podsRule = { apiGroups: [''], resources: ['pods'], verbs: ['list'] };

/** The additional permissions for provisioning with ServiceAccounts by name. */
export const provisioningRules = [
  { apiGroups: [''], resources: ['namespaces'], verbs: ['list', 'watch'] },
  {
    apiGroups: [''],
    resources: ['serviceaccounts'],
    resourceNames: ['default', 'builder'],
    verbs: ['get', 'list', 'watch', 'patch'],
  },
];

/** The additional permission for patterns of ServiceAccounts, and for finding outdated references. */
export const allAccountsRule = {
  apiGroups: [''],
  resources: ['serviceaccounts'],
  verbs: ['get', 'list', 'watch', 'patch'],
};

/** Creates a ServiceAccount with these permissions in the cluster or in one namespace, and returns its kubeconfig. */
export async function createAccountWithRules(
  apiServer: TestApiServer,
  rules: readonly unknown[],
  onlyIn?: string,
): Promise<string> {
  const home = await apiServer.createNamespace('program');
  const kubeconfigPath = await apiServer.serviceAccountKubeconfig(home, 'program');
  const [kind, base] =
    onlyIn === undefined ? ['ClusterRole', `${rbac}/cluster`] : ['Role', `${rbac}/namespaces/${onlyIn}/`];
  const metadata = { name: home };
  await expectCreated(apiServer, `${base}roles`, { metadata, rules });
  await expectCreated(apiServer, `${base}rolebindings`, {
    metadata,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name: home },
    subjects: [{ kind: 'ServiceAccount', name: 'program', namespace: home }],
  });
  return kubeconfigPath;
}

export async function expectCreated(apiServer: TestApiServer, path: string, object: unknown): Promise<void> {
  const { status, body } = await apiServer.request('POST', path, object);
  if (status !== 201) {
    throw new Error(`POST ${path}: ${status} ${JSON.stringify(body)}`);
  }
}

/** Creates an empty namespace with these labels. */
export async function createLabelledNamespace(
  apiServer: TestApiServer,
  labels: Record<string, string>,
): Promise<string> {
  const name = `team-${randomBytes(4).toString('hex')}`;
  await expectCreated(apiServer, '/api/v1/namespaces', { metadata: { name, labels } });
  return name;
}

/** Creates a ServiceAccount as the ServiceAccount controller or a user does. */
export async function createServiceAccount(
  apiServer: TestApiServer,
  namespace: string,
  name = 'default',
  more: Record<string, unknown> = {},
): Promise<void> {
  const { metadata = {}, ...rest } = more;
  const object = { ...rest, metadata: { name, ...Object(metadata) } };
  await expectCreated(apiServer, `/api/v1/namespaces/${namespace}/serviceaccounts`, object);
}

export interface StoredServiceAccount {
  /** Names in `imagePullSecrets`; undefined: there is no list. */
  readonly pullSecrets: readonly unknown[] | undefined;
  readonly annotation: unknown;
  readonly resourceVersion: unknown;
}

export async function readServiceAccount(
  apiServer: TestApiServer,
  namespace: string,
  name = 'default',
): Promise<StoredServiceAccount> {
  const { body }: ApiServerResponse = await apiServer.request(
    'GET',
    `/api/v1/namespaces/${namespace}/serviceaccounts/${name}`,
  );
  const metadata = getField(body, 'metadata');
  const list = getField(body, 'imagePullSecrets');
  return {
    pullSecrets: list === undefined ? undefined : getItems(list).map((entry) => getField(entry, 'name')),
    annotation: getField(getField(metadata, 'annotations'), 'ecr-pull-secrets.io/pull-secret'),
    resourceVersion: getField(metadata, 'resourceVersion'),
  };
}

export interface RunProvisioningOptions {
  readonly apiServer: TestApiServer;
  readonly ecr: EcrDouble;
  readonly config: Record<string, unknown>;
  /** Kubeconfig of the program; by default, of the administrator. */
  readonly kubeconfigPath?: string;
}

export interface RunningProvisioning {
  readonly log: Record<string, unknown>[];
  stop(): Promise<void>;
}

/** Runs provisioning as `serve` does, and waits until its caches are complete. */
export async function runProvisioning(options: RunProvisioningOptions): Promise<RunningProvisioning> {
  const { apiServer, ecr, kubeconfigPath = apiServer.kubeconfigPath } = options;
  const config = readConfig(
    stringify({ ...options.config, kubernetes: { kubeconfig: kubeconfigPath } }),
    'test',
  );
  const lines: Record<string, unknown>[] = [];
  const log = createJsonLog('debug', { write: (line) => void lines.push(JSON.parse(line)) });
  const metrics = {
    countEcrCall: () => undefined,
    countSecretWrite: () => undefined,
    countForgottenHosts: () => undefined,
    countDroppedHosts: () => undefined,
  };
  const isInSync = () => watch.isInSync();
  const settings = resolveSettings(config);
  const app = createApp({
    config,
    environment: ecr.env(),
    configuredRegistries: settings.registries,
    log,
    metrics,
    isInSync,
    now: Date.now,
    monotonicNow: () => performance.now(),
  });
  const provisioning = new ProvisioningController({
    config: app.cluster,
    settings,
    secretCache: app.secretCache,
    secrets: app.secrets,
    isDenied: (namespace, { host }) => app.housekeeping.isDenied(namespace, host),
    whenSynced: () => watch.start(),
    onWatchError: (error) => log.warn({ err: error }, 'a watch broke'),
    onObjectError: (error) => log.warn({ err: error }, 'skipped an object'),
    monotonicNow: () => performance.now(),
    random: () => 0,
    log,
  });
  const watch = watchSecretMetadata({
    config: app.cluster,
    name: config.secretName,
    handler: notifyOnChange(app.secretCache, (namespace) => provisioning.enqueue(namespace)),
  });
  void watch.start();
  await provisioning.start();
  return {
    log: lines,
    stop: async () => {
      await provisioning.stop();
      await watch.stop();
      await app.close();
    },
  };
}
