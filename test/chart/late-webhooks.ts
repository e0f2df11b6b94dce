// Webhooks that change pods after the chart's policy or webhook, as those of other products do.
import assert from 'node:assert/strict';
import type { Cluster } from '../cluster/cluster.ts';
import { type ScriptedWebhook, startScriptedWebhook } from '../doubles/scripted-webhook.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, type Pod } from '../support/pods.ts';
import { registry } from './install-modes.ts';
import { getValueAt } from './rendered-objects.ts';

const configurations = '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations';

/** Returns the operations of a JSON patch for the pod of an admission request. */
type Patch = (pod: unknown) => unknown[];

/** Webhooks of other products on a cluster. They are called only for pods in separate namespaces. */
export class LateWebhooks {
  readonly #cluster: Cluster;
  readonly #started: { readonly name: string; readonly webhook: ScriptedWebhook }[] = [];

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  /** @param name name of the configuration; the API server calls webhooks in the order of these names */
  async register(name: string, reinvocationPolicy: 'Never' | 'IfNeeded', patch: Patch): Promise<void> {
    const webhook = await startScriptedWebhook();
    webhook.script = ({ request }) => {
      const operations = patch(request['object']);
      const patched = { patchType: 'JSONPatch', patch: btoa(JSON.stringify(operations)) };
      return { allowed: true, ...(operations.length > 0 && patched) };
    };
    this.#started.push({ name, webhook });
    const { status, body } = await this.#cluster.request('POST', configurations, {
      metadata: { name },
      webhooks: [
        {
          name: `${name}.example.com`,
          ...{ admissionReviewVersions: ['v1'], sideEffects: 'None', failurePolicy: 'Fail' },
          ...{ reinvocationPolicy, timeoutSeconds: 30 },
          clientConfig: { url: webhook.url, caBundle: btoa(webhook.caPem) },
          namespaceSelector: { matchLabels: { 'changed-late': 'true' } },
          rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
        },
      ],
    });
    assert.equal(status, 201, JSON.stringify(body));
  }

  /** Creates pods until `changed` is true for a stored pod, which shows that the API server calls all webhooks. */
  async create(pod: () => Pod, changed: (stored: unknown) => boolean): Promise<readonly unknown[]> {
    const namespace = await this.#cluster.createNamespace('late');
    const labels = { 'changed-late': 'true' };
    const contentType = 'application/merge-patch+json';
    const path = `/api/v1/namespaces/${namespace}`;
    await this.#cluster.request('PATCH', path, { metadata: { labels } }, { contentType });
    const create = async () => {
      const { status, body, pullSecrets } = await createPod(this.#cluster, namespace, pod());
      assert.equal(status, 201, JSON.stringify(body));
      return changed(body) ? pullSecrets : undefined;
    };
    return await eventually('the API server calls the webhooks', create, 60_000);
  }

  async removeAll(): Promise<void> {
    for (const { name, webhook } of this.#started.splice(0)) {
      await this.#cluster.request('DELETE', `${configurations}/${name}`);
      webhook.stop();
    }
  }
}

/** The images of a pod's containers. */
export function getImages(pod: unknown): string[] {
  return getValueAt(pod, 'spec.containers').map((container: { image: string }) => container.image);
}

/** Rewrites images of Docker Hub to a pull-through cache, as Kyverno does. */
export function toPullThroughCache(pod: unknown): unknown[] {
  return getImages(pod).flatMap((image, index) => {
    const path = `/spec/containers/${index}/image`;
    const value = image.replace('docker.io', registry);
    return value === image ? [] : [{ op: 'replace', path, value }];
  });
}

/** Adds a sidecar of Docker Hub, as the Vault agent injector does. */
export function addSidecar(): unknown[] {
  const sidecar = { name: 'vault-agent', image: 'docker.io/hashicorp/vault:1.20' };
  return [{ op: 'add', path: '/spec/containers/-', value: sidecar }];
}

/** Whether all images of a pod are as {@link toPullThroughCache} leaves them, and at least one is an ECR image. */
export function isRewritten(pod: unknown): boolean {
  const images = getImages(pod);
  return images.some((image) => image.startsWith(registry)) && toPullThroughCache(pod).length === 0;
}
