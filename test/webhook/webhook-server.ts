// Starts the webhook's server in the test process, and sends requests to it.
import { once } from 'node:events';
import { type Agent, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { after, before } from 'node:test';
import type { TLSSocket } from 'node:tls';
import type { PemKeyPair } from '../../src/certificates/key-pair.ts';
import { createPullSecretReference } from '../../src/injection/patch.ts';

import { createJsonLog, type Log } from '../../src/telemetry/log.ts';
import { type AdmissionHandlerDependencies, createAdmissionHandler } from '../../src/webhook/handler.ts';
import { createWebhook, type Webhook, type WebhookDependencies } from '../../src/webhook/server.ts';
import { issueTestCa, issueTestServingCertificate } from '../certificates/test-certificates.ts';
import { resolveRegistry } from '../support/registries.ts';

export const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
export const pod = { metadata: { name: 'app' }, spec: { containers: [{ image: `${host}/app:1` }] } };
const silentLog = createJsonLog('silent', new PassThrough());

export const rules = {
  reference: createPullSecretReference('ecr-pull-secrets'),
  resolveRegistry,
  exclude: { namespaces: [], accounts: [] },
  findDenyingRule: () => undefined,
};

/** A log whose lines can be read. */
export function createRecordingLog(): { log: Log; lines(): Record<string, unknown>[] } {
  const written: string[] = [];
  return {
    log: createJsonLog('debug', { write: (line) => written.push(line) }),
    lines: () => written.map((line) => JSON.parse(line)),
  };
}

let ca: PemKeyPair;
let keyPair: PemKeyPair;

/** The CA of all certificates that this file issues. */
export const getCaPem = () => ca.certPem;

/** The first certificate of a started webhook. */
export const getServedCertificatePem = () => keyPair.certPem;

/** Issues another serving certificate. */
export const issueServingKeyPair = () => issueTestServingCertificate(ca, Date.now());

before(async () => {
  ca = await issueTestCa(Date.now());
  keyPair = await issueServingKeyPair();
});

export interface StartedWebhook {
  readonly app: Webhook;
  readonly outcomes: string[];
  send(body: unknown, options?: SendOptions): Promise<ReceivedResponse>;
  drain(): void;
}

export interface SendOptions {
  readonly path?: string;
  readonly method?: string;
  readonly contentType?: string;
  readonly agent?: Agent;
  /** Without a content-length header. */
  readonly chunked?: boolean;
}

/** The JSON of a response: for a review, or for an error. */
interface ResponseBody {
  readonly response: {
    readonly allowed: boolean;
    readonly patch?: string;
    readonly warnings?: string[];
    readonly status?: { code: number; message: string };
  };
  readonly error: { code: string; message: string };
}

interface ReceivedResponse {
  readonly status: number;
  readonly body: ResponseBody;
  readonly connection: string | undefined;
  readonly fingerprint: string;
  /** Whether the connection had an earlier request. */
  readonly isReused: boolean;
}

/** Starts the webhook on a free port. `ensure` replaces that of the pull Secrets. Closes it after the test. */
export async function startWebhook(
  options: Partial<AdmissionHandlerDependencies> &
    Partial<Omit<WebhookDependencies, 'identity'>> & { clientCaPem?: string } = {},
  ensure: AdmissionHandlerDependencies['pullSecrets']['ensure'] = async () => [],
): Promise<StartedWebhook> {
  const outcomes: string[] = [];
  let isDraining = false;
  const app = createWebhook({
    identity: { ...keyPair, clientCaPem: options.clientCaPem },
    allowedNames: options.allowedNames ?? [],
    maxConnections: options.maxConnections ?? 600,
    onRefused: (reason) => outcomes.push(`refused ${reason}`),
    log: options.log ?? silentLog,
    isDraining: () => isDraining,
    handleReview:
      options.handleReview ??
      createAdmissionHandler({
        rules,
        onFailure: 'admit',
        deadlineMarginMs: 500,
        pullSecrets: { hasFreshTokens: () => false, ensure },
        log: silentLog,
        metrics: {
          review: (outcome, reason) => outcomes.push(`${outcome} ${reason}`),
          admissionSeconds: () => undefined,
        },
        ...options,
      }),
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const send: StartedWebhook['send'] = async (body, sendOptions = {}) => {
    const { path = '/mutate?timeout=5s', method = 'POST', contentType = 'application/json' } = sendOptions;
    const { agent, chunked = false } = sendOptions;
    const request = httpsRequest({
      host: '127.0.0.1',
      port,
      path,
      method,
      ca: ca.certPem,
      headers: { 'content-type': contentType },
      ...(agent !== undefined && { agent }),
    });
    request.on('error', () => undefined); // the server stops reading after an early response, such as 413
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    if (chunked) {
      request.write(text.slice(0, 1));
      request.end(text.slice(1));
    } else {
      request.end(text);
    }
    const [response] = await once(request, 'response');
    const socket: TLSSocket = response.socket;
    const fingerprint = socket.getPeerX509Certificate()?.fingerprint256 ?? '';
    let responseText = '';
    for await (const chunk of response) {
      responseText += chunk;
    }
    return {
      status: response.statusCode,
      body: JSON.parse(responseText),
      connection: response.headers.connection,
      fingerprint,
      isReused: request.reusedSocket,
    };
  };
  after(() => app.close());
  return {
    app,
    outcomes,
    send,
    drain: () => {
      isDraining = true;
    },
  };
}
