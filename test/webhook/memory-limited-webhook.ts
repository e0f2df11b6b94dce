// Starts the webhook in a process with the memory limit of the chart.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Agent, request as httpsRequest } from 'node:https';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { PemKeyPair } from '../../src/certificates/key-pair.ts';
import { issueTestCa, issueTestServingCertificate } from '../certificates/test-certificates.ts';

/** Heap size of the image: half of the chart's memory limit, in MiB. */
const heapMiB = 128;

const mainFile = fileURLToPath(new URL('memory-limited-webhook-process.ts', import.meta.url));

export interface MemoryLimitedWebhook {
  readonly port: number;
  readonly ca: PemKeyPair;
  /** Collects garbage, then returns the memory use and the longest stall since the last call. */
  measure(): Promise<{ maxStallMs: number; heapUsed: number; maxRss: number }>;
  /** Sends a body. Resolves with the response, or undefined if the connection was closed before it. */
  post(body: Buffer | string, options?: PostOptions): Promise<PostResponse | undefined>;
  /** Current number of connections. */
  countConnections(): Promise<number>;
}

interface PostOptions {
  readonly agent?: Agent;
  readonly chunked?: boolean;
}

interface PostResponse {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly text: string;
  readonly reused: boolean;
}

/** Starts the webhook in a process with the heap size of the image. Kills it after the test. */
export async function startMemoryLimitedWebhook(maxConnections = 600): Promise<MemoryLimitedWebhook> {
  const ca = await issueTestCa(Date.now());
  const keyPair = await issueTestServingCertificate(ca, Date.now());
  const flags = [`--max-old-space-size=${heapMiB}`, '--max-semi-space-size=4', '--expose-gc'];
  const child = spawn(process.execPath, [...flags, mainFile], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    env: { ...process.env, MALLOC_ARENA_MAX: '1', UV_THREADPOOL_SIZE: '16' },
  });
  after(() => child.kill('SIGKILL'));
  const next = async () => {
    const [message] = await Promise.race([once(child, 'message'), once(child, 'exit').then(() => [])]);
    assert.ok(message !== undefined, 'the process has ended');
    return message;
  };
  child.send({ keyPair, maxConnections });
  const port: number = await next();
  return {
    port,
    ca,
    measure: async () => {
      child.send('measure');
      return await next();
    },
    countConnections: async () => {
      child.send('connections');
      return await next();
    },
    post: (body, options) => post(port, ca.certPem, body, options),
  };
}

function post(
  port: number,
  ca: string,
  body: Buffer | string,
  { agent, chunked = false }: PostOptions = {},
): Promise<PostResponse | undefined> {
  const { promise, resolve } = Promise.withResolvers<PostResponse | undefined>();
  const request = httpsRequest(
    {
      host: '127.0.0.1',
      port,
      ca,
      method: 'POST',
      path: '/mutate?timeout=10s',
      ...(agent !== undefined && { agent }),
      headers: {
        'content-type': 'application/json',
        ...(!chunked && { 'content-length': Buffer.byteLength(body) }),
      },
    },
    async (response) => {
      let text = '';
      response.on('error', () => undefined); // the server stops reading after an early response
      for await (const chunk of response) {
        text += chunk;
      }
      const { statusCode = 0, headers } = response;
      resolve({ status: statusCode, headers, text, reused: request.reusedSocket });
    },
  );
  request.on('error', () => resolve(undefined));
  request.end(body);
  return promise;
}
