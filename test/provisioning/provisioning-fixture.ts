import { randomBytes } from 'node:crypto';
import { stringify } from 'yaml';
import { compose } from '../../src/app.ts';
import { readConfig } from '../../src/config/load-config.ts';
import { watchSecretMetadata } from '../../src/kube/secret-metadata.ts';
import { told } from '../../src/provisioning/cluster-cache.ts';
import { Provisioning } from '../../src/provisioning/provisioning-controller.ts';
import { settingsOf } from '../../src/provisioning/provisioning-settings.ts';
import { jsonLog } from '../../src/telemetry/log.ts';
import { field, items } from '../../src/util/json.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import type { Ground, GroundAnswer } from '../support/test-api-server.ts';

const rbac = '/apis/rbac.authorization.k8s.io/v1';

/** An ECR for the parts in this process, where the SDK looks at the environment itself. */
export async function startEcr(): Promise<EcrDouble> {
  const ecr = await startEcrDouble();
  Object.assign(process.env, ecr.env());
  return ecr;
}

/** What the program may do with Secrets in any case. */
export const secretRule = {
  apiGroups: [''],
  resources: ['secrets'],
  resourceNames: ['ecr-pull-secrets'],
  verbs: ['get', 'list', 'watch', 'create', 'patch'],
};

/** All that the mode needs beside that, for accounts that are named. */
export const provisioningRules = [
  { apiGroups: [''], resources: ['namespaces'], verbs: ['list', 'watch'] },
  {
    apiGroups: [''],
    resources: ['serviceaccounts'],
    resourceNames: ['default', 'builder'],
    verbs: ['get', 'list', 'watch', 'patch'],
  },
];

/** What patterns of accounts need, and looking for references of other settings. */
export const allAccountsRule = {
  apiGroups: [''],
  resources: ['serviceaccounts'],
  verbs: ['get', 'list', 'watch', 'patch'],
};

/** Makes a ServiceAccount with these rights everywhere, or in one namespace; gives its kubeconfig. */
export async function accountWith(
  ground: Ground,
  rules: readonly unknown[],
  onlyIn?: string,
): Promise<string> {
  const home = await ground.createNamespace('program');
  const kubeconfigPath = await ground.serviceAccountKubeconfig(home, 'program');
  const [kind, base] =
    onlyIn === undefined ? ['ClusterRole', `${rbac}/cluster`] : ['Role', `${rbac}/namespaces/${onlyIn}/`];
  const metadata = { name: home };
  await expectCreated(ground, `${base}roles`, { metadata, rules });
  await expectCreated(ground, `${base}rolebindings`, {
    metadata,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind, name: home },
    subjects: [{ kind: 'ServiceAccount', name: 'program', namespace: home }],
  });
  return kubeconfigPath;
}

export async function expectCreated(ground: Ground, path: string, object: unknown): Promise<void> {
  const { status, body } = await ground.request('POST', path, object);
  if (status !== 201) {
    throw new Error(`POST ${path}: ${status} ${JSON.stringify(body)}`);
  }
}

/** A namespace with these labels, and nothing in it. */
export async function newNamespace(ground: Ground, labels: Record<string, string>): Promise<string> {
  const name = `team-${randomBytes(4).toString('hex')}`;
  await expectCreated(ground, '/api/v1/namespaces', { metadata: { name, labels } });
  return name;
}

/** As the controller makes the `default` one, or as a person makes another. */
export async function newAccount(
  ground: Ground,
  namespace: string,
  name = 'default',
  more: Record<string, unknown> = {},
): Promise<void> {
  const { metadata = {}, ...rest } = more;
  const object = { ...rest, metadata: { name, ...Object(metadata) } };
  await expectCreated(ground, `/api/v1/namespaces/${namespace}/serviceaccounts`, object);
}

export interface StoredAccount {
  /** Names in `imagePullSecrets`; undefined: there is no list. */
  readonly pullSecrets: readonly unknown[] | undefined;
  readonly annotation: unknown;
  readonly resourceVersion: unknown;
}

export async function readAccount(
  ground: Ground,
  namespace: string,
  name = 'default',
): Promise<StoredAccount> {
  const { body }: GroundAnswer = await ground.request(
    'GET',
    `/api/v1/namespaces/${namespace}/serviceaccounts/${name}`,
  );
  const metadata = field(body, 'metadata');
  const list = field(body, 'imagePullSecrets');
  return {
    pullSecrets: list === undefined ? undefined : items(list).map((entry) => field(entry, 'name')),
    annotation: field(field(metadata, 'annotations'), 'ecr-pull-secrets.io/pull-secret'),
    resourceVersion: field(metadata, 'resourceVersion'),
  };
}

export interface RunOptions {
  readonly ground: Ground;
  readonly ecr: EcrDouble;
  readonly config: Record<string, unknown>;
  /** Of the program's account; the administrator's if not given. */
  readonly kubeconfigPath?: string;
}

export interface Running {
  readonly log: Record<string, unknown>[];
  stop(): Promise<void>;
}

/** Runs the mode as `serve` does, in this process, and waits until it has seen what there is. */
export async function runProvisioning(options: RunOptions): Promise<Running> {
  const { ground, ecr, kubeconfigPath = ground.kubeconfigPath } = options;
  const config = readConfig(
    stringify({ ...options.config, kubernetes: { kubeconfig: kubeconfigPath } }),
    'test',
  );
  const lines: Record<string, unknown>[] = [];
  const log = jsonLog('debug', { write: (line) => void lines.push(JSON.parse(line)) });
  const metrics = {
    ecrCall: () => undefined,
    secretWrite: () => undefined,
    unstoredForgotten: () => undefined,
    hostsDropped: () => undefined,
  };
  const inSync = () => watch.inSync();
  const { registries: configured } = settingsOf(config);
  const core = compose({ config, environment: ecr.env(), configured, log, metrics, inSync, now: Date.now });
  const mode = new Provisioning({
    config: core.cluster,
    settings: settingsOf(config),
    view: core.view,
    secrets: core.secrets,
    ready: () => watch.start(),
    onWatchError: (error) => log.warn({ err: error }, 'a watch broke'),
    onObjectError: (error) => log.warn({ err: error }, 'skipped an object'),
    now: () => performance.now(),
    random: () => 0,
    log,
  });
  const watch = watchSecretMetadata({
    config: core.cluster,
    name: config.secretName,
    sink: told(core.view, (namespace) => mode.wake(namespace)),
  });
  void watch.start();
  await mode.start();
  return {
    log: lines,
    stop: async () => {
      await mode.stop();
      await watch.stop();
      await core.close();
    },
  };
}
