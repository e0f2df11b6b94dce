// A webhook whose responses a test scripts, to test its callers.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { json } from 'node:stream/consumers';
import { issueCaCertificate, issueServingCertificate } from '../../src/certificates/issue.ts';
import { toObject } from './api-server/kube-object.ts';

/** A received review. */
interface ReceivedReview {
  url: string;
  httpVersion: string;
  connection: number;
  request: Record<string, unknown>;
}

/** Returns the `response` of the review, to which its uid is added, or writes to `response` itself and returns undefined. */
export type Script = (
  review: ReceivedReview,
  response: ServerResponse,
) => Record<string, unknown> | undefined;

/** A webhook whose responses a test sets. */
export interface ScriptedWebhook {
  url: string;
  caPem: string;
  reviews: ReceivedReview[];
  script: Script;
  stop(): void;
}

const dayMs = 86_400_000;

/** Starts a webhook on a free port. */
export async function startScriptedWebhook(): Promise<ScriptedWebhook> {
  const now = Date.now();
  const ca = await issueCaCertificate({ commonName: 'scripted webhook CA', now, validForMs: dayMs });
  const names = { dnsNames: [], ipAddresses: ['127.0.0.1'] };
  const { certPem: cert, keyPem: key } = await issueServingCertificate({
    ca,
    ...names,
    now,
    validForMs: dayMs,
  });
  const connections = new Map<unknown, number>();
  const server = createServer({ cert, key }, (request, response) => void respond(request, response));
  const webhook: ScriptedWebhook = {
    url: '',
    caPem: ca.certPem,
    reviews: [],
    script: () => ({ allowed: true }),
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
  const respond = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { socket, url = '', httpVersion } = request;
    const connection = connections.get(socket) ?? connections.size;
    connections.set(socket, connection);
    const review = {
      url,
      httpVersion,
      connection,
      request: toObject(toObject(await json(request))['request']),
    };
    webhook.reviews.push(review);
    const scripted = webhook.script(review, response);
    if (scripted === undefined) {
      return;
    }
    const { apiVersion, kind } = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ apiVersion, kind, response: { uid: review.request['uid'], ...scripted } }));
  };
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  const address = server.address();
  webhook.url = `https://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/mutate`;
  return webhook;
}
