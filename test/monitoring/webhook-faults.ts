// Faults of the webhook: a request that is not an admission review, and a webhook that cannot be called.
import { request } from 'node:https';
import type { RunningProgram } from '../support/program.ts';

/** Sends a request that is not an admission review, as another client in the cluster can, and waits for the response. */
export async function sendMalformedReview({ webhookUrl, caPem }: RunningProgram): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const options = { method: 'POST', ca: caPem, headers: { 'content-type': 'application/json' } };
  request(webhookUrl, options, (response) => response.resume().on('end', resolve))
    .on('error', reject)
    .end('{}');
  await promise;
}

/** Builds a webhook with the name of the chart's and `failurePolicy: Fail`, to which nothing listens, for one namespace. */
export function buildUnreachableWebhook(namespace: string) {
  return {
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind: 'MutatingWebhookConfiguration',
    metadata: { name: 'unreachable' },
    webhooks: [
      {
        name: 'pods.ecr-pull-secrets.io',
        admissionReviewVersions: ['v1'],
        clientConfig: { url: 'https://127.0.0.1:1/mutate' },
        failurePolicy: 'Fail',
        sideEffects: 'None',
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
        rules: [{ apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }],
      },
    ],
  };
}
