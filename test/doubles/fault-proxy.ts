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
import { Listener } from './api-server/http-listener.ts';
import { toArray, toObject } from './api-server/kube-object.ts';

/** Selects the requests of a fault. `path` includes the query. */
export type MatchRequest = (method: string, path: string) => boolean;

type Fault = { kind: 'hang' } | { kind: 'delay'; ms: number } | { kind: 'status'; status: number };

const matchAll: MatchRequest = () => true;

/**
 * A proxy in front of an API server that injects faults. Clients use plain HTTP, so that the proxy can parse requests without a
 * certificate. It forwards tokens and other headers, but not client certificates.
 */
export class FaultProxy {
  readonly #listener: Listener;
  readonly #send: (options: RequestOptions) => ClientRequest;
  readonly #folder = mkdtempSync(join(tmpdir(), 'fault-proxy-'));
  #fault: Fault | undefined;
  #match = matchAll;
  #kubeconfigs = 0;
  readonly #received: { method: string; path: string }[] = [];

  constructor(listener: Listener, send: (options: RequestOptions) => ClientRequest) {
    this.#listener = listener;
    this.#send = send;
    listener.setHandler((request, response) => void this.#handle(request, response));
  }

  /** Counts the received requests that match. */
  count(match: MatchRequest): number {
    return this.#received.filter(({ method, path }) => match(method, path)).length;
  }

  /** Copies a kubeconfig file and sets this proxy as its server. Returns the path. */
  kubeconfig(original: string): string {
    const config = toObject(parse(readFileSync(original, 'utf8')));
    // client-node refuses plain HTTP without this.
    const cluster = { server: this.#listener.url, 'insecure-skip-tls-verify': true };
    const clusters = toArray(config['clusters']).map((entry) => ({ ...toObject(entry), cluster }));
    const path = join(this.#folder, `${this.#kubeconfigs++}.json`);
    writeFileSync(path, JSON.stringify({ ...config, clusters }), { mode: 0o600 });
    return path;
  }

  /** Removes the fault. Requests that hang are not resumed. */
  async heal(): Promise<void> {
    this.#fault = undefined;
    if (!this.#listener.isListening) {
      await this.#listener.open();
    }
  }

  /** Resets all connections and refuses new ones, until {@link heal}. */
  async refuseConnections(): Promise<void> {
    await this.#listener.close();
  }

  /** Resets all open connections. */
  reset(): void {
    this.#listener.resetAll();
  }

  /** Delays matching requests. */
  delay(ms: number, match = matchAll): void {
    this.#set({ kind: 'delay', ms }, match);
  }

  /** Responds to matching requests with a status, without calling the API server. */
  status(status: number, match = matchAll): void {
    this.#set({ kind: 'status', status }, match);
  }

  /** Drops matching requests, and further data for earlier ones, as on half-open connections. */
  hang(match = matchAll): void {
    this.#set({ kind: 'hang' }, match);
  }

  /** Closes all connections and removes the files. */
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
    this.#received.push({ method: request.method ?? '', path: request.url ?? '' });
    const fault = this.#faultFor(request);
    if (fault?.kind === 'hang') {
      return;
    }
    if (fault?.kind === 'delay') {
      await wait(fault.ms);
    }
    if (fault?.kind === 'status') {
      request.resume();
      response.writeHead(fault.status, { 'content-type': 'text/plain' }).end('injected fault');
      return;
    }
    this.#forward(request, response);
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const { method, url: path, headers } = request;
    const hangs = (): boolean => this.#faultFor(request)?.kind === 'hang';
    const destroyClient = (): void => void response.socket?.destroy();
    const upstream = this.#send({ method, path, headers });
    upstream.on('response', (upstreamResponse: IncomingMessage) => {
      response.writeHead(upstreamResponse.statusCode ?? 502, upstreamResponse.headers).flushHeaders();
      upstreamResponse.on('data', (chunk: Buffer) => void (hangs() || response.write(chunk)));
      upstreamResponse.on('end', () => void (hangs() || response.end()));
      upstreamResponse.on('error', destroyClient);
    });
    upstream.on('error', destroyClient);
    response.on('close', () => upstream.destroy());
    request.pipe(upstream);
  }
}

/** Starts a proxy in front of the API server that a kubeconfig names. */
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
