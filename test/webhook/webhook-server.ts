import { once } from 'node:events';
import { type Agent, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { after, before } from 'node:test';
import type { TLSSocket } from 'node:tls';
import type { PemKeyPair } from '../../src/certificates/key-pair.ts';
import type { UnavailableHost } from '../../src/pull-secrets/unavailable-host.ts';
import { createJsonLog, type Log } from '../../src/telemetry/log.ts';
import { type AdmissionHandlerDependencies, createAdmissionHandler } from '../../src/webhook/handler.ts';
import { createPullSecretReference } from '../../src/webhook/patch.ts';
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

/** The CA of all certificates here. */
export const getCaPem = () => ca.certPem;

/** The certificate that a started webhook begins with. */
export const getServedCertificatePem = () => keyPair.certPem;

/** Another certificate. */
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
  /** Without saying its length. */
  readonly chunked?: boolean;
}

/** The JSON of an answer: of a review, or of an error. */
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
  /** Whether the connection had been used before. */
  readonly isReused: boolean;
}

/** The webhook on a free port, with pull Secrets that do as told. */
export async function startWebhook(
  parts: Partial<AdmissionHandlerDependencies> &
    Partial<Omit<WebhookDependencies, 'identity'>> & { clientCaPem?: string } = {},
  ensure: () => Promise<UnavailableHost[]> = async () => [],
): Promise<StartedWebhook> {
  const counted: string[] = [];
  let draining = false;
  const app = createWebhook({
    identity: { ...keyPair, clientCaPem: parts.clientCaPem },
    allowedNames: parts.allowedNames ?? [],
    maxConnections: parts.maxConnections ?? 600,
    onRefused: (reason) => counted.push(`refused ${reason}`),
    log: parts.log ?? silentLog,
    isDraining: () => draining,
    handleReview:
      parts.handleReview ??
      createAdmissionHandler({
        rules,
        onFailure: 'admit',
        deadlineMarginMs: 500,
        pullSecrets: { hasFreshTokens: () => false, ensure },
        log: silentLog,
        metrics: {
          review: (outcome, reason) => counted.push(`${outcome} ${reason}`),
          admissionSeconds: () => undefined,
        },
        ...parts,
      }),
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const send: StartedWebhook['send'] = async (body, options = {}) => {
    const { path = '/mutate?timeout=5s', method = 'POST', contentType = 'application/json' } = options;
    const { agent, chunked = false } = options;
    const request = httpsRequest({
      host: '127.0.0.1',
      port,
      path,
      method,
      ca: ca.certPem,
      headers: { 'content-type': contentType },
      ...(agent !== undefined && { agent }),
    });
    request.on('error', () => undefined); // after an early answer, such as 413: the rest of the body has nowhere to go
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
    let answer = '';
    for await (const chunk of response) {
      answer += chunk;
    }
    return {
      status: response.statusCode,
      body: JSON.parse(answer),
      connection: response.headers.connection,
      fingerprint,
      isReused: request.reusedSocket,
    };
  };
  after(() => app.close());
  return {
    app,
    outcomes: counted,
    send,
    drain: () => {
      draining = true;
    },
  };
}
