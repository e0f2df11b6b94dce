// Finds the namespaces of installations in objects of the cluster, which tenants cannot create.
import type { ClusterConfig } from '../kube/client.ts';
import { KubeError } from '../kube/errors.ts';
import { listObjects, type ObjectListRequest } from '../kube/objects.ts';
import { productName } from '../labels.ts';
import { getField, getItems } from '../util/json.ts';
import { parseConfiguration } from './webhook-facts.ts';
import { webhookConfigurations } from './webhook-reads.ts';

/** Objects of the chart that name its namespace. */
interface NamingResource extends ObjectListRequest {
  /** Returns undefined for an object of another program. Must not throw. */
  findNamespaces(object: unknown): readonly string[] | undefined;
}

const configurations: NamingResource = {
  ...webhookConfigurations,
  findNamespaces: (object) => {
    const configuration = parseConfiguration(object);
    return configuration?.isOwn === true || configuration?.name === `zz-${productName}`
      ? configuration.webhooks.flatMap(({ target }) => (target.kind === 'service' ? [target.namespace] : []))
      : undefined;
  },
};

/** The chart has a ClusterRoleBinding in every mode, also without a webhook or with one that is called by its URL. */
const roleBindings: NamingResource = {
  path: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
  noun: 'clusterrolebindings',
  labelSelector: `app.kubernetes.io/name=${productName}`,
  findNamespaces: (object) =>
    getItems(getField(object, 'subjects')).flatMap((subject) => {
      const namespace = getField(subject, 'namespace');
      return typeof namespace === 'string' ? [namespace] : [];
    }),
};

/** Installations in one cluster that are considered. */
const maxNamespaces = 10;

/**
 * Finds where the program is installed.
 * @returns the namespaces, sorted; empty if no object names one, or if the caller may not list these objects
 * @throws {KubeError} if a request fails for another reason than a missing right
 */
export async function findInstallationNamespaces(
  cluster: ClusterConfig,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const found = await Promise.all(
    [configurations, roleBindings].map((resource) => listNamespaces(cluster, resource, signal)),
  );
  return [...new Set(found.flat())].sort().slice(0, maxNamespaces);
}

async function listNamespaces(
  cluster: ClusterConfig,
  { findNamespaces, ...request }: NamingResource,
  signal: AbortSignal,
): Promise<readonly string[]> {
  try {
    return (await listObjects(cluster, request, findNamespaces, signal)).flat();
  } catch (error) {
    if (error instanceof KubeError && error.code === 'forbidden') {
      return [];
    }
    throw error;
  }
}
