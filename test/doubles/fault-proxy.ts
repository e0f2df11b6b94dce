// A TCP proxy that injects faults between a client and the API server.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, RequestOptions, ServerResponse } from 'node:http';
import { type ClientRequest, Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest, type RequestOptions as TlsOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { KubeConfig } from '@kubernetes/client-node';
import { parse } from 'yaml';
import { Listener } from './api-server/https-listener.ts';
import { arrayOr, objectOr } from './api-server/kube-object.ts';

/** Which requests a fault is for. `path` has the query with it. */
export type MatchRequest = (method: string, path: string) => boolean;

type Fault = { kind: 'hang' } | { kind: 'delay'; ms: number } | { kind: 'status'; status: number };

const every: MatchRequest = () => true;

/**
 * A proxy to put before an API server, to break what lies between. Plain HTTP in front, so that it can look into
 * requests without a certificate of its own; behind, whatever the API server speaks. Credentials in headers, such as
 * tokens, pass through; client certificates in front do not.
 */
export class FaultProxy {
  readonly #listener: Listener;
  readonly #send: (options: RequestOptions) => ClientRequest;
  readonly #folder = mkdtempSync(join(tmpdir(), 'fault-proxy-'));
  #fault: Fault | undefined;
  #match = every;
  #kubeconfigs = 0;
  readonly #seen: { method: string; path: string }[] = [];

  constructor(listener: Listener, send: (options: RequestOptions) => ClientRequest) {
    this.#listener = listener;
    this.#send = send;
    listener.setHandler((request, response) => void this.#handle(request, response));
  }

  /** How many requests came in that match. */
  count(match: MatchRequest): number {
    return this.#seen.filter(({ method, path }) => match(method, path)).length;
  }

  /** A kubeconfig file that is as the given one, but leads through this proxy; gives its path. */
  kubeconfig(original: string): string {
    const config = objectOr(parse(readFileSync(original, 'utf8')));
    // client-node refuses plain HTTP without this.
    const cluster = { server: this.#listener.url, 'insecure-skip-tls-verify': true };
    const clusters = arrayOr(config['clusters']).map((entry) => ({ ...objectOr(entry), cluster }));
    const path = join(this.#folder, `${this.#kubeconfigs++}.json`);
    writeFileSync(path, JSON.stringify({ ...config, clusters }), { mode: 0o600 });
    return path;
  }

  /** No fault any more. What hangs, hangs. */
  async pass(): Promise<void> {
    this.#fault = undefined;
    if (!this.#listener.listening) {
      await this.#listener.open();
    }
  }

  /** Resets all connections and refuses new ones, until {@link pass}. */
  async cut(): Promise<void> {
    await this.#listener.close();
  }

  /** Resets all connections, once. */
  reset(): void {
    this.#listener.resetAll();
  }

  /** Requests that match wait this long before they go on. */
  delay(ms: number, match = every): void {
    this.#set({ kind: 'delay', ms }, match);
  }

  /** Requests that match are answered with this status, and do not reach the API server. */
  status(status: number, match = every): void {
    this.#set({ kind: 'status', status }, match);
  }

  /** Requests that match are swallowed, and so is what still comes for the ones before: half-open connections. */
  hang(match = every): void {
    this.#set({ kind: 'hang' }, match);
  }

  /** Ends all connections and removes its files. */
  async stop(): Promise<void> {
    await this.#listener.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #set(fault: Fault, match: MatchRequest): void {
    this.#fault = fault;
    this.#match = match;
  }

  #faultFor({ method = '', url = '' }: IncomingMessage): Fault | undefined {
    return this.#match(method, url) ? this.#fault : undefined;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.#seen.push({ method: request.method ?? '', path: request.url ?? '' });
    const fault = this.#faultFor(request);
    if (fault?.kind === 'hang') {
      return;
    }
    if (fault?.kind === 'delay') {
      await wait(fault.ms);
    }
    if (fault?.kind === 'status') {
      request.resume();
      response.writeHead(fault.status, { 'content-type': 'text/plain' }).end('fault on command');
      return;
    }
    this.#forward(request, response);
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const { method, url: path, headers } = request;
    const hangs = (): boolean => this.#faultFor(request)?.kind === 'hang';
    const breakOff = (): void => void response.socket?.destroy();
    const upstream = this.#send({ method, path, headers });
    upstream.on('response', (answer: IncomingMessage) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers).flushHeaders();
      answer.on('data', (chunk: Buffer) => void (hangs() || response.write(chunk)));
      answer.on('end', () => void (hangs() || response.end()));
      answer.on('error', breakOff);
    });
    upstream.on('error', breakOff);
    response.on('close', () => upstream.destroy());
    request.pipe(upstream);
  }
}

/** Starts a proxy before the API server that a kubeconfig names. */
export async function startFaultProxy(kubeconfigPath: string): Promise<FaultProxy> {
  const config = new KubeConfig();
  config.loadFromFile(kubeconfigPath);
  const { protocol, hostname: host, port } = new URL(config.getCurrentCluster()?.server ?? '');
  const tls: TlsOptions = {};
  await config.applyToHTTPSOptions(tls);
  const { ca, rejectUnauthorized, servername } = tls;
  const trust = {
    ca,
    ...(rejectUnauthorized !== undefined && { rejectUnauthorized }),
    ...(servername !== undefined && { servername }),
  };
  const plain = new HttpAgent({ keepAlive: true });
  const secure = new HttpsAgent({ keepAlive: true, ...trust });
  const send = (options: RequestOptions): ClientRequest =>
    protocol === 'https:'
      ? httpsRequest({ ...options, host, port, agent: secure })
      : httpRequest({ ...options, host, port, agent: plain });
  return new FaultProxy(await Listener.start(), send);
}
