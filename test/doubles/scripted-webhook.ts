// A webhook whose responses a test scripts.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { json } from 'node:stream/consumers';
import { issueCaCertificate, issueServingCertificate } from '../../src/certificates/issue.ts';
import { objectOr } from './api-server/kube-object.ts';

/** A review that came in. */
interface ReceivedReview {
  url: string;
  httpVersion: string;
  connection: number;
  request: Record<string, unknown>;
}

/** What to answer: the `response` of the review (its uid is added), or whatever the function does itself. */
export type Script = (
  review: ReceivedReview,
  response: ServerResponse,
) => Record<string, unknown> | undefined;

/** A webhook whose responses a test sets. */
export interface ScriptedWebhook {
  url: string;
  caPem: string;
  seen: ReceivedReview[];
  script: Script;
  stop(): void;
}

const dayMs = 86_400_000;

/** Starts one on a free port. */
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
  const server = createServer({ cert, key }, (request, response) => void answer(request, response));
  const webhook: ScriptedWebhook = {
    url: '',
    caPem: ca.certPem,
    seen: [],
    script: () => ({ allowed: true }),
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { socket, url = '', httpVersion } = request;
    const connection = connections.get(socket) ?? connections.size;
    connections.set(socket, connection);
    const review = {
      url,
      httpVersion,
      connection,
      request: objectOr(objectOr(await json(request))['request']),
    };
    webhook.seen.push(review);
    const answered = webhook.script(review, response);
    if (answered === undefined) {
      return;
    }
    const { apiVersion, kind } = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' };
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ apiVersion, kind, response: { uid: review.request['uid'], ...answered } }));
  };
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  const address = server.address();
  webhook.url = `https://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/mutate`;
  return webhook;
}
