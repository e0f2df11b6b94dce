// Faults of the webhook: a request that is not an admission review, a log without room, and a webhook that cannot be called.
import { execFile } from 'node:child_process';
import { Agent, request } from 'node:https';
import { promisify } from 'node:util';
import type { RunningProgram } from '../support/program.ts';
import { buildPodReview } from '../webhook/admission-reviews.ts';

/** Sends a request that is not an admission review, as another client in the cluster can, and waits for the response. */
export async function sendMalformedReview(program: RunningProgram): Promise<void> {
  await send(program, '{}');
}

async function send({ webhookUrl, caPem }: RunningProgram, body: string, agent?: Agent): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const headers = { 'content-type': 'application/json' };
  const options = { method: 'POST', ca: caPem, headers, ...(agent !== undefined && { agent }) };
  request(webhookUrl, options, (response) => response.resume().on('end', resolve))
    .on('error', reject)
    .end(body);
  await promise;
}

/** Lets the file of the program's log reach its maximum size, and sends reviews that are logged. Linux only. */
export async function fillLog(program: RunningProgram): Promise<void> {
  await limitFileSize(program, '0:');
  const pod = { metadata: { name: 'x'.repeat(250) }, spec: { containers: [] } };
  const body = JSON.stringify(buildPodReview(pod));
  const agent = new Agent({ keepAlive: true, maxSockets: 8 });
  await Promise.all(Array.from({ length: reviewsOfFullLog }, () => send(program, body, agent)));
  agent.destroy();
}

/** Lets the program write its log again. */
export async function freeLog(program: RunningProgram): Promise<void> {
  await limitFileSize(program, 'unlimited:');
}

/** More log lines of about 400 bytes than the 1 MiB that the program keeps. */
const reviewsOfFullLog = 5_000;

async function limitFileSize({ pid }: RunningProgram, limit: string): Promise<void> {
  await promisify(execFile)('prlimit', ['--pid', String(pid), `--fsize=${limit}`]);
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
