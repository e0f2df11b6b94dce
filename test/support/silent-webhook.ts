// A webhook with failurePolicy Ignore that never responds, so that the API server waits for the whole timeout.
import { randomBytes } from 'node:crypto';
import { startScriptedWebhook } from '../doubles/scripted-webhook.ts';
import type { TestApiServer } from './test-api-server.ts';

const path = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations';

export interface SilentWebhook {
  /** Number of received requests. */
  readonly received: number;
  stop(): Promise<void>;
}

export interface SilentWebhookOptions {
  /** The webhook is called for namespaces with this label. */
  readonly label: readonly [string, string];
  /** How long the API server waits for the webhook before it writes. */
  readonly timeoutSeconds: number;
}

/** Starts the webhook and registers it for creates and updates of Secrets. */
export async function startSilentWebhook(
  apiServer: TestApiServer,
  { label: [key, value], timeoutSeconds }: SilentWebhookOptions,
): Promise<SilentWebhook> {
  const webhook = await startScriptedWebhook();
  webhook.script = () => undefined;
  const name = `silent-${randomBytes(4).toString('hex')}`;
  const { status, body } = await apiServer.request('POST', path, {
    metadata: { name },
    webhooks: [
      {
        name: 'slow.example.com',
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        failurePolicy: 'Ignore',
        timeoutSeconds,
        clientConfig: { url: webhook.url, caBundle: Buffer.from(webhook.caPem).toString('base64') },
        namespaceSelector: { matchLabels: { [key]: value } },
        rules: [
          { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['secrets'] },
        ],
      },
    ],
  });
  if (status !== 201) {
    throw new Error(`POST ${path}: ${status} ${JSON.stringify(body)}`);
  }
  return {
    get received() {
      return webhook.reviews.length;
    },
    stop: async () => {
      await apiServer.request('DELETE', `${path}/${name}`);
      webhook.stop();
    },
  };
}
