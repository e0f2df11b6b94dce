import { once } from 'node:events';
import { type Agent, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { after, before } from 'node:test';
import type { TLSSocket } from 'node:tls';
import type { PemPair } from '../../src/certificates/key-pair.ts';
import type { Shortfall } from '../../src/pull-secrets/unavailable-host.ts';
import { jsonLog, type Log } from '../../src/telemetry/log.ts';
import { type MutateParts, reviewAnswerer } from '../../src/webhook/handler.ts';
import { pullSecretReference } from '../../src/webhook/patch.ts';
import { type Webhook, type WebhookParts, webhook } from '../../src/webhook/server.ts';
import { testAuthority, testServing } from '../certificates/test-certificates.ts';

export const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
export const pod = { metadata: { name: 'app' }, spec: { containers: [{ image: `${host}/app:1` }] } };
const quiet = jsonLog('silent', new PassThrough());

export const rules = {
  reference: pullSecretReference('ecr-pull-secrets'),
  exclude: { namespaces: [], accounts: [] },
};

/** A log whose lines can be read. */
export function keptLog(): { log: Log; lines(): Record<string, unknown>[] } {
  const written: string[] = [];
  return {
    log: jsonLog('debug', { write: (line) => written.push(line) }),
    lines: () => written.map((line) => JSON.parse(line)),
  };
}

let authority: PemPair;
let pair: PemPair;

/** The CA of all certificates here. */
export const authorityPem = () => authority.certPem;

/** The certificate that a started webhook begins with. */
export const servedPem = () => pair.certPem;

/** Another certificate. */
export const servingPair = () => testServing(authority, Date.now());

before(async () => {
  authority = await testAuthority(Date.now());
  pair = await servingPair();
});

export interface Started {
  readonly app: Webhook;
  readonly counted: string[];
  send(body: unknown, options?: SendOptions): Promise<Received>;
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
interface Answered {
  readonly response: {
    readonly allowed: boolean;
    readonly patch?: string;
    readonly warnings?: string[];
    readonly status?: { code: number; message: string };
  };
  readonly error: { code: string; message: string };
}

interface Received {
  readonly status: number;
  readonly body: Answered;
  readonly connection: string | undefined;
  readonly fingerprint: string;
  /** Whether the connection had been used before. */
  readonly kept: boolean;
}

/** The webhook on a free port, with pull Secrets that do as told. */
export async function started(
  parts: Partial<MutateParts> & Partial<Omit<WebhookParts, 'identity'>> & { clientCaPem?: string } = {},
  ensure: () => Promise<Shortfall[]> = async () => [],
): Promise<Started> {
  const counted: string[] = [];
  let draining = false;
  const app = webhook({
    identity: { ...pair, clientCaPem: parts.clientCaPem },
    allowedNames: parts.allowedNames ?? [],
    maxConnections: parts.maxConnections ?? 600,
    refused: (reason) => counted.push(`refused ${reason}`),
    log: parts.log ?? quiet,
    draining: () => draining,
    answer:
      parts.answer ??
      reviewAnswerer({
        rules,
        onFailure: 'admit',
        deadlineMarginMs: 500,
        pullSecrets: { covers: () => false, ensure },
        log: quiet,
        metrics: {
          review: (outcome, reason) => counted.push(`${outcome} ${reason}`),
          admissionSeconds: () => undefined,
        },
        ...parts,
      }),
  });
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const send: Started['send'] = async (body, options = {}) => {
    const { path = '/mutate?timeout=5s', method = 'POST', contentType = 'application/json' } = options;
    const { agent, chunked = false } = options;
    const request = httpsRequest({
      host: '127.0.0.1',
      port,
      path,
      method,
      ca: authority.certPem,
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
      kept: request.reusedSocket,
    };
  };
  after(() => app.close());
  return {
    app,
    counted,
    send,
    drain: () => {
      draining = true;
    },
  };
}
