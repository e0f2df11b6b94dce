// Does what the controllers and the kubelet of a cluster with nodes do with the pods of the program and of its users.
import type { Cluster } from '../cluster/cluster.ts';
import { type Pod, podWith } from '../support/pods.ts';

/** A change of an object that the test's administrator may make. */
export async function send(cluster: Cluster, method: string, path: string, body?: unknown): Promise<unknown> {
  const contentType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
  const { status, body: answer } = await cluster.request(method, path, body, { contentType });
  if (status >= 300) {
    throw new Error(`${method} ${path}: ${status} ${JSON.stringify(answer)}`);
  }
  return answer;
}

/** Creates a namespace of this name, with its ServiceAccount `default`. */
export async function createNamedNamespace(cluster: Cluster, name: string): Promise<void> {
  await send(cluster, 'POST', '/api/v1/namespaces', { metadata: { name } });
  await send(cluster, 'POST', `/api/v1/namespaces/${name}/serviceaccounts`, {
    metadata: { name: 'default' },
  });
}

/** Where the Service `kubernetes` leads, as the API servers of a cluster publish it. */
export const apiServerAddress = '10.0.8.4';

/** Publishes the address of the API server. */
export async function publishApiServer(cluster: Cluster): Promise<void> {
  await send(cluster, 'POST', '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', {
    metadata: { name: 'kubernetes', labels: { 'kubernetes.io/service-name': 'kubernetes' } },
    addressType: 'IPv4',
    endpoints: [{ addresses: [apiServerAddress], conditions: { ready: true } }],
    ports: [{ name: 'https', port: 6443, protocol: 'TCP' }],
  });
}

const podPath = (namespace: string, name: string) => `/api/v1/namespaces/${namespace}/pods/${name}`;

/** Why a container does not run, as the kubelet reports it. */
export interface Waiting {
  readonly reason: 'ErrImagePull' | 'ImagePullBackOff' | 'CrashLoopBackOff';
  readonly message: string;
}

/** Sets what a kubelet reports about a pod: that it runs, or why it does not. */
async function setPodStatus(
  cluster: Cluster,
  namespace: string,
  { metadata, spec }: Pod,
  waiting?: Waiting,
): Promise<void> {
  const isReady = waiting === undefined;
  const containerStatuses = spec.containers.map(({ name, image }) => ({
    name,
    image,
    imageID: '',
    ready: isReady,
    restartCount: waiting?.reason === 'CrashLoopBackOff' ? 7 : 0,
    state: isReady ? { running: { startedAt: new Date().toISOString() } } : { waiting },
  }));
  const isCrashing = waiting?.reason === 'CrashLoopBackOff';
  await send(cluster, 'PATCH', `${podPath(namespace, metadata.name)}/status`, {
    status: {
      phase: isReady || isCrashing ? 'Running' : 'Pending',
      conditions: ['Ready', 'ContainersReady'].map((type) => ({ type, status: isReady ? 'True' : 'False' })),
      containerStatuses,
    },
  });
}

/** Creates a pod with an image as a user would, and sets what a kubelet reports about it. */
export async function createUserPod(
  cluster: Cluster,
  namespace: string,
  name: string,
  image: string,
  { waiting, annotations }: { waiting?: Waiting; annotations?: Record<string, string> } = {},
): Promise<void> {
  const pod = podWith([image], {}, annotations);
  const named = { ...pod, metadata: { ...pod.metadata, name } };
  await send(cluster, 'POST', `/api/v1/namespaces/${namespace}/pods`, named);
  await setPodStatus(cluster, namespace, named, waiting);
}

export async function deletePod(cluster: Cluster, namespace: string, name: string): Promise<void> {
  await send(cluster, 'DELETE', `${podPath(namespace, name)}?gracePeriodSeconds=0`);
}

/** What the kubelet reports about an image that a registry refuses. */
export function imagePullBackOff(image: string): Waiting {
  return { reason: 'ImagePullBackOff', message: `Back-off pulling image "${image}"` };
}

/** The replicas of the program as objects: their pods, and the endpoints of their Service. */
export interface ReplicaObjects {
  create(): Promise<void>;
  /** What the kubelets and the endpoint controller report. */
  set(state: 'ready' | 'crashing'): Promise<void>;
  /** Whether the Service selects the pods. */
  setSelected(isSelected: boolean): Promise<void>;
}

const service = 'ecr-pull-secrets';

/** @param templates the pods that the controllers of the chart would create */
export function createReplicaObjects(
  cluster: Cluster,
  namespace: string,
  port: number,
  templates: readonly Record<string, unknown>[],
): ReplicaObjects {
  const pods = templates.flatMap((template) =>
    [1, 2].map((number) => {
      const { generateName: _, ...metadata } = Object(template['metadata']);
      return { ...template, metadata: { ...metadata, name: `${service}-7c9d8b6f5d-${number}` } } as Pod;
    }),
  );
  const core = `/api/v1/namespaces/${namespace}`;
  const slices = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`;
  const slice = `${service}-x7k2p`;
  const endpoints = (ready: boolean) =>
    pods.map(({ metadata: { name } }, index) => ({
      addresses: [`10.1.0.${index + 5}`],
      conditions: { ready, serving: ready, terminating: false },
      targetRef: { kind: 'Pod', namespace, name },
    }));
  const set = async (state: 'ready' | 'crashing') => {
    const isReady = state === 'ready';
    const waiting: Waiting = {
      reason: 'CrashLoopBackOff',
      message: 'back-off 5m0s restarting failed container=ecr-pull-secrets',
    };
    for (const pod of pods) {
      await setPodStatus(cluster, namespace, pod, isReady ? undefined : waiting);
    }
    const count = isReady ? pods.length : 0;
    await send(cluster, 'PATCH', `/apis/apps/v1/namespaces/${namespace}/deployments/${service}/status`, {
      status: { replicas: pods.length, readyReplicas: count, availableReplicas: count },
    });
    await send(cluster, 'PATCH', `${slices}/${slice}`, { endpoints: endpoints(isReady) });
  };
  return {
    set,
    create: async () => {
      for (const pod of pods) {
        await send(cluster, 'POST', `${core}/pods`, pod);
      }
      await send(cluster, 'POST', slices, {
        metadata: { name: slice, labels: { 'kubernetes.io/service-name': service } },
        addressType: 'IPv4',
        endpoints: endpoints(true),
        ports: [{ name: 'webhook', port, protocol: 'TCP' }],
      });
      await set('ready');
    },
    setSelected: async (isSelected) => {
      const component = isSelected ? 'webhook' : 'server';
      const spec = { selector: { 'app.kubernetes.io/component': component } };
      await send(cluster, 'PATCH', `${core}/services/${service}`, { spec });
      await send(cluster, 'PATCH', `${slices}/${slice}`, { endpoints: isSelected ? endpoints(true) : null });
    },
  };
}
