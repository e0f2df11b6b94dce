import type { Cluster } from '../cluster/cluster.ts';
import { chartFolder, type Helm, type Values } from './helm.ts';
import { getValueAt, type KubeObject, parseConfigFile } from './rendered-objects.ts';

/** The chart on a cluster: what an operator does with it, by Helm. Everything rejects with what Helm said. */
export interface Release {
  readonly name: string;
  readonly namespace: string;
  /** The namespace has to be there. */
  install(values?: Values): Promise<void>;
  upgrade(values: Values, flags?: readonly string[]): Promise<void>;
  rollback(revision: number): Promise<void>;
  uninstall(): Promise<void>;
  /** What the program's account is called. */
  readonly user: string;
  /** With a token of the program's account. */
  kubeconfig(): Promise<string>;
  /** The program's file, as it is in the cluster. */
  configFile(): Promise<Record<string, unknown>>;
  /** The pods that controllers would make of what is installed. */
  pods(): Promise<Record<string, unknown>[]>;
}

/** Makes a namespace in which nothing may run that is not restricted, and a release that is to be installed there. */
export async function createRelease(
  cluster: Cluster,
  helm: Helm,
  name = 'ecr-pull-secrets',
): Promise<Release> {
  const namespace = await cluster.createNamespace('pulls');
  const label = { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } } };
  await cluster.request('PATCH', `/api/v1/namespaces/${namespace}`, label, {
    contentType: 'application/merge-patch+json',
  });
  const run = async (args: readonly string[], values?: Values) => {
    const all = [...args, '--namespace', namespace];
    const { code, stderr } = await helm.run(all, values, cluster.kubeconfigPath);
    if (code !== 0) throw new Error(`helm ${args[0]}: ${stderr}`);
  };
  const get = async (path: string): Promise<KubeObject> => {
    const { status, body } = await cluster.request('GET', path);
    if (status !== 200) throw new Error(`GET ${path}: ${status} ${JSON.stringify(body)}`);
    return body as KubeObject;
  };
  return {
    name,
    namespace,
    user: `system:serviceaccount:${namespace}:ecr-pull-secrets`,
    install: (values = {}) => run(['install', name, chartFolder], values),
    upgrade: (values, flags = []) => run(['upgrade', name, chartFolder, ...flags], values),
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

/** The pod that a Deployment or a CronJob would make. */
function podOf(template: unknown): Record<string, unknown> {
  const { labels, annotations } = getValueAt(template, 'metadata');
  const metadata = { generateName: 'of-the-chart-', labels, annotations };
  return { apiVersion: 'v1', kind: 'Pod', metadata, spec: getValueAt(template, 'spec') };
}
