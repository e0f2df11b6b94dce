// The workloads of the chart: the pods that run the program, and the ServiceAccount and the Secret that they use.
import type { ClusterConfig } from '../kube/client.ts';
import { listObjects } from '../kube/objects.ts';
import { pickStrings } from '../kube/resource.ts';
import { productName } from '../labels.ts';
import { getField, getItems, isObject } from '../util/json.ts';
import type { Labels } from '../util/label-selector.ts';

/** A Deployment of the chart. */
export interface Workload {
  readonly name: string;
  /** `webhook` or `certificates`. */
  readonly component: string;
  readonly serviceAccount: string;
  readonly podLabels: Labels;
  /** The port of the container that is called `webhook`. */
  readonly webhookPort: number | undefined;
  /** The Secret with the serving certificate. */
  readonly tlsSecret: string | undefined;
  readonly desired: number;
  readonly ready: number;
}

/**
 * Lists the Deployments of the chart in a namespace.
 * @throws {KubeError}
 */
export async function listWorkloads(
  cluster: ClusterConfig,
  namespace: string,
  signal: AbortSignal,
): Promise<Workload[]> {
  const path = `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/deployments`;
  const noun = `deployments in namespace ${namespace}`;
  // With nameOverride, only the label with the chart names the product.
  const request = { path, noun, labelSelector: 'helm.sh/chart' };
  return await listObjects(cluster, request, parseWorkload, signal);
}

function parseWorkload(object: unknown): Workload | undefined {
  const metadata = getField(object, 'metadata');
  const spec = getField(object, 'spec');
  const template = getField(spec, 'template');
  const podSpec = getField(template, 'spec');
  const podLabels = pickStrings(getField(getField(template, 'metadata'), 'labels'));
  const [name, component] = [getField(metadata, 'name'), podLabels['app.kubernetes.io/component']];
  const chart = pickStrings(getField(metadata, 'labels'))['helm.sh/chart'] ?? '';
  if (typeof name !== 'string' || component === undefined || !chart.startsWith(`${productName}-`)) {
    return undefined;
  }
  const ports = getItems(getField(podSpec, 'containers')).flatMap((one) => getItems(getField(one, 'ports')));
  const webhookPort = getField(
    ports.find((port) => getField(port, 'name') === 'webhook'),
    'containerPort',
  );
  const tlsVolume = getItems(getField(podSpec, 'volumes')).find(
    (volume) => getField(volume, 'name') === 'tls',
  );
  const tlsSecret = getField(getField(tlsVolume, 'secret'), 'secretName');
  const serviceAccount = getField(podSpec, 'serviceAccountName');
  return {
    ...{ name, component, podLabels },
    serviceAccount: typeof serviceAccount === 'string' ? serviceAccount : 'default',
    webhookPort: typeof webhookPort === 'number' ? webhookPort : undefined,
    tlsSecret: typeof tlsSecret === 'string' ? tlsSecret : undefined,
    desired: count(getField(spec, 'replicas'), 1),
    ready: count(getField(getField(object, 'status'), 'readyReplicas'), 0),
  };
}

function count(value: unknown, fallback: number): number {
  return typeof value === 'number' ? value : fallback;
}

/** The endpoints of a Service. */
export interface Endpoints {
  readonly ready: number;
  readonly notReady: number;
  readonly addresses: readonly string[];
}

/**
 * Reads the endpoints of a Service from its EndpointSlices.
 * @throws {KubeError}
 */
export async function readEndpoints(
  cluster: ClusterConfig,
  namespace: string,
  service: string,
  signal: AbortSignal,
): Promise<Endpoints> {
  const path = `/apis/discovery.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/endpointslices`;
  const request = {
    path,
    noun: `endpointslices in namespace ${namespace}`,
    labelSelector: `kubernetes.io/service-name=${service}`,
  };
  const slices = await listObjects(
    cluster,
    request,
    (slice) => getItems(getField(slice, 'endpoints')),
    signal,
  );
  const endpoints = slices.flat().filter(isObject);
  const isReady = ({ conditions }: Record<string, unknown>) => getField(conditions, 'ready') !== false;
  return {
    ready: endpoints.filter(isReady).length,
    notReady: endpoints.filter((endpoint) => !isReady(endpoint)).length,
    addresses: endpoints.flatMap(({ addresses }) => getItems(addresses).map(String)),
  };
}
