// Builds, creates and changes pods, and returns the result of their admission.
import { randomBytes } from 'node:crypto';
import { getField, getItems } from '../../src/util/json.ts';
import type { TestApiServer } from './test-api-server.ts';

export interface Pod {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly annotations?: Record<string, string> };
  readonly spec: Readonly<Record<string, unknown>> & { readonly containers: readonly Container[] };
}

interface Container {
  readonly name: string;
  readonly image: string;
}

/** Builds a pod with one container for each image. `spec` adds fields to its spec. */
export function podWith(
  images: readonly string[],
  spec: Record<string, unknown> = {},
  annotations?: Record<string, string>,
): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: `pod-${randomBytes(5).toString('hex')}`,
      ...(annotations !== undefined && { annotations }),
    },
    spec: { ...spec, containers: images.map((image, index) => ({ name: `c${index}`, image })) },
  };
}

/** The result of a request that creates or changes a pod. */
export interface Admitted {
  readonly status: number;
  readonly body: unknown;
  readonly warnings: readonly string[];
  /** Names in `imagePullSecrets`. */
  readonly pullSecrets: readonly unknown[];
}

/** Creates a pod as a user would. */
export async function createPod(
  apiServer: TestApiServer,
  namespace: string,
  pod: Pod,
  { dryRun = false } = {},
): Promise<Admitted> {
  const query = dryRun ? '?dryRun=All' : '';
  return toAdmitted(await apiServer.request('POST', `/api/v1/namespaces/${namespace}/pods${query}`, pod));
}

/** Changes a pod. `change` receives the stored spec. */
export async function updatePod(
  apiServer: TestApiServer,
  namespace: string,
  name: string,
  change: (pod: Record<string, unknown>) => unknown,
  subresource = '',
): Promise<Admitted> {
  const path = `/api/v1/namespaces/${namespace}/pods/${name}`;
  const { body } = await apiServer.request('GET', path);
  return toAdmitted(
    await apiServer.request(
      'PUT',
      `${path}${subresource}`,
      change(structuredClone(body) as Record<string, unknown>),
    ),
  );
}

function toAdmitted(answer: Awaited<ReturnType<TestApiServer['request']>>): Admitted {
  const references = getItems(getField(getField(answer.body, 'spec'), 'imagePullSecrets'));
  return { ...answer, pullSecrets: references.map((reference) => getField(reference, 'name')) };
}

/** Builds a pod that runs on a Windows node only. */
export function windowsPod(image: string): Pod {
  return podWith([image], {
    os: { name: 'windows' },
    nodeSelector: { 'kubernetes.io/os': 'windows' },
    securityContext: { windowsOptions: { runAsUserName: 'ContainerUser' } },
  });
}

/** Builds a mirror pod, with which the kubelet represents a static pod. */
export function mirrorPod(image: string): Pod {
  return podWith([image], { nodeName: 'node-1' }, { 'kubernetes.io/config.mirror': 'x' });
}

/** Builds a pod that the Pod Security Standard `restricted` allows. */
export function restrictedPod(image: string): Pod {
  const pod = podWith([image], {
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
  });
  const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
  const containers = pod.spec.containers.map((container) => ({ ...container, securityContext }));
  return { ...pod, spec: { ...pod.spec, containers } };
}
