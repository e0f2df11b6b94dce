// A release of the chart on a test cluster: install, upgrade, and what its pods and ServiceAccount are.
import type { Cluster } from '../cluster/cluster.ts';
import { chartFolder, type Helm, type Values } from './helm.ts';
import type { PodSecurityStandard } from './pod-security.ts';
import { getValueAt, type KubeObject, parseConfigFile } from './rendered-objects.ts';

/** A release of the chart. Helm commands reject with the output of Helm if they fail. */
export interface Release {
  readonly name: string;
  readonly namespace: string;
  /** Installs the chart, or a package of an earlier one, into the existing namespace. */
  install(values?: Values, installedChart?: string): Promise<void>;
  upgrade(values: Values, flags?: readonly string[]): Promise<void>;
  rollback(revision: number): Promise<void>;
  uninstall(): Promise<void>;
  /** The user name of the program's ServiceAccount. */
  readonly user: string;
  /** The path of a kubeconfig with a token of the program's ServiceAccount. */
  kubeconfig(): Promise<string>;
  /** The program's configuration file, from the cluster. */
  configFile(): Promise<Record<string, unknown>>;
  /** The pods that controllers would create from the installed objects. */
  pods(): Promise<Record<string, unknown>[]>;
}

/**
 * Creates a namespace that enforces a Pod Security Standard, and a release to install there.
 * @param chart folder or archive of the chart
 */
export async function createRelease(
  cluster: Cluster,
  helm: Helm,
  name = 'ecr-pull-secrets',
  podSecurity: PodSecurityStandard = 'restricted',
  chart = chartFolder,
): Promise<Release> {
  const namespace = await cluster.createNamespace('pulls');
  const label = { metadata: { labels: { 'pod-security.kubernetes.io/enforce': podSecurity } } };
  await cluster.request('PATCH', `/api/v1/namespaces/${namespace}`, label, {
    contentType: 'application/merge-patch+json',
  });
  const run = async (args: readonly string[], values?: Values) => {
    const all = [...args, '--namespace', namespace];
    const { code, stderr } = await helm.run(all, values, cluster.kubeconfigPath);
    if (code !== 0) {
      throw new Error(`helm ${args[0]}: ${stderr}`);
    }
  };
  const get = async (path: string): Promise<KubeObject> => {
    const { status, body } = await cluster.request('GET', path);
    if (status !== 200) {
      throw new Error(`GET ${path}: ${status} ${JSON.stringify(body)}`);
    }
    return body as KubeObject;
  };
  return {
    name,
    namespace,
    user: `system:serviceaccount:${namespace}:ecr-pull-secrets`,
    install: (values = {}, installedChart = chart) => run(['install', name, installedChart], values),
    upgrade: (values, flags = []) => run(['upgrade', name, chart, ...flags], values),
    rollback: (revision) => run(['rollback', name, String(revision)]),
    uninstall: () => run(['uninstall', name]),
    kubeconfig: () => cluster.serviceAccountKubeconfig(namespace, 'ecr-pull-secrets'),
    configFile: async () =>
      parseConfigFile(await get(`/api/v1/namespaces/${namespace}/configmaps/ecr-pull-secrets`)),
    pods: async () => {
      const deployments = await get(`/apis/apps/v1/namespaces/${namespace}/deployments`);
      const jobs = await get(`/apis/batch/v1/namespaces/${namespace}/cronjobs`);
      return [
        ...getValueAt(deployments, 'items').map((object: unknown) =>
          podOf(getValueAt(object, 'spec.template')),
        ),
        ...getValueAt(jobs, 'items').map((object: unknown) =>
          podOf(getValueAt(object, 'spec.jobTemplate.spec.template')),
        ),
      ];
    },
  };
}

/** The pod that a Deployment or a CronJob would create. */
function podOf(template: unknown): Record<string, unknown> {
  const { labels, annotations } = getValueAt(template, 'metadata');
  const metadata = { generateName: 'chart-', labels, annotations };
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec: getValueAt(template, 'spec') };
}
