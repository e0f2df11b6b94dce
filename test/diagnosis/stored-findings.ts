// Opens installations for tests of checks, and stores what the checks are to find: Secrets, Events and failing pods.
import assert from 'node:assert/strict';
import { stringify } from 'yaml';
import { readConfig } from '../../src/config/load-config.ts';
import type { CheckGroupRunner, Installation, Viewpoint } from '../../src/diagnosis/installation.ts';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { createEventApi } from '../../src/kube/events.ts';
import { hostsAnnotation, productName } from '../../src/labels.ts';
import type { HostLifetimes } from '../../src/pull-secrets/hosts-annotation.ts';
import { createBulkClient } from '../support/bulk-requests.ts';
import { expectCreated } from '../support/installation.ts';
import { podWith } from '../support/pods.ts';
import { secretPath } from '../support/pull-secret.ts';
import type { TestApiServer } from '../support/test-api-server.ts';

export const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';

const hourMs = 3_600_000;

/** The lifetime of a token of twelve hours that was issued some hours ago. */
export function issuedHoursAgo(hours: number): { issuedAt: number; expiresAt: number } {
  const issuedAt = Date.now() - hours * hourMs;
  return { issuedAt, expiresAt: issuedAt + 12 * hourMs };
}

/** Stores a pull Secret as the program writes it. */
export async function storePullSecret(
  cluster: TestApiServer,
  namespace: string,
  hosts: HostLifetimes,
): Promise<void> {
  const client = createBulkClient(cluster.kubeconfigPath);
  await client.storeSecrets([namespace], hosts).finally(() => client.close());
}

/** Changes the annotation of a pull Secret as a user would. */
export async function editAnnotation(
  cluster: TestApiServer,
  namespace: string,
  hosts: object,
): Promise<void> {
  const metadata = { annotations: { [hostsAnnotation]: JSON.stringify(hosts) } };
  const options = { contentType: 'application/merge-patch+json' };
  await cluster.request('PATCH', secretPath(namespace), { metadata }, options);
}

/** Creates an Event about the pull Secret of a namespace, as the program does. */
export async function reportFailure(
  cluster: TestApiServer,
  namespace: string,
  message: string,
  reason = 'PullTokenRenewalFailed',
): Promise<void> {
  const config = loadKubeConfig({
    kubeconfigPath: cluster.kubeconfigPath,
    requestTimeoutMs: 10_000,
    userAgent: 'test',
  });
  const object = { kind: 'Secret', namespace, name: productName };
  const event = {
    name: `e-${reason.toLowerCase()}`,
    object,
    type: 'Warning',
    reason,
    message,
    at: Date.now(),
  } as const;
  await createEventApi(config, productName)
    .create(event)
    .finally(() => config.close());
}

/** A pod whose image the kubelet cannot pull. */
export interface FailingPodOptions {
  readonly image?: string;
  readonly hasReference?: boolean;
  /** What the kubelet reports. */
  readonly message?: string;
  readonly annotations?: Record<string, string>;
  /** Added to the spec of the pod. */
  readonly spec?: Record<string, unknown>;
  /** `Running` if another image of the pod was pulled before. */
  readonly phase?: 'Pending' | 'Running';
}

/** Creates a pod and sets its status as the kubelet does. Returns its name. */
export async function createFailingPod(
  cluster: TestApiServer,
  namespace: string,
  {
    image = `${host}/cart:1`,
    hasReference = true,
    message = 'no basic auth credentials',
    annotations,
    spec = {},
    phase = 'Pending',
  }: FailingPodOptions = {},
): Promise<string> {
  const reference = hasReference ? { imagePullSecrets: [{ name: productName }] } : {};
  const pod = podWith([image], { ...spec, ...reference }, annotations);
  const path = `/api/v1/namespaces/${namespace}/pods`;
  await expectCreated(cluster, path, pod);
  const waiting = { reason: 'ImagePullBackOff', message };
  const status = {
    phase,
    containerStatuses: [
      { name: 'c0', image, imageID: '', ready: false, restartCount: 0, state: { waiting } },
    ],
  };
  const options = { contentType: 'application/merge-patch+json' };
  const updated = await cluster.request('PATCH', `${path}/${pod.metadata.name}/status`, { status }, options);
  assert.equal(updated.status, 200);
  return pod.metadata.name;
}

export interface OpenedInstallation {
  readonly installation: Installation;
  /** Runs a group, and returns its results by the name of the check. */
  run(group: CheckGroupRunner): Promise<Map<string, { outcome: string; text: string }>>;
  close(): Promise<void>;
}

export function openTestInstallation(
  kubeconfigPath: string,
  settings: object = {},
  viewpoint: Viewpoint = 'inside',
): OpenedInstallation {
  const cluster = loadKubeConfig({ kubeconfigPath, requestTimeoutMs: 10_000, userAgent: 'test' });
  const config = readConfig(stringify(settings), 'the test');
  const installation = { viewpoint, config, cluster, namespace: 'ecr', environment: {} };
  return {
    installation,
    run: async (group) => {
      const results = await group(installation, AbortSignal.timeout(20_000));
      return new Map(
        results.map(({ check, outcome, summary, remedy = '', details = [] }) => [
          check,
          { outcome, text: [summary, remedy, ...details].join('\n') },
        ]),
      );
    },
    close: () => cluster.close(),
  };
}
