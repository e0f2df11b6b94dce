// A proxy before the API stand-in that injects texts into lists, watches and responses.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parse } from 'yaml';
import { Listener } from '../doubles/api-server/http-listener.ts';
import { toArray, toObject } from '../doubles/api-server/kube-object.ts';

export class InjectingProxy {
  /** Path of a collection → JSON texts that are added to the items of each of its lists. */
  readonly items = new Map<string, readonly string[]>();
  /** Path of an object → the body that replaces the real one in the response to a GET. */
  readonly replacements = new Map<string, string>();
  /** Number of reads with a replaced body. */
  replaced = 0;
  readonly #target: URL;
  readonly #listener: Listener;
  readonly #watches = new Map<string, Set<ServerResponse>>();
  readonly #folder = mkdtempSync(join(tmpdir(), 'injecting-proxy-'));

  private constructor(target: string, listener: Listener) {
    this.#target = new URL(target);
    this.#listener = listener;
    listener.setHandler((request, response) => this.#handle(request, response));
  }

  /** @param target URL of the stand-in */
  static async start(target: string): Promise<InjectingProxy> {
    return new InjectingProxy(target, await Listener.start());
  }

  /** Writes a copy of a kubeconfig file that points to the proxy. Returns its path. */
  kubeconfig(original: string): string {
    const config = toObject(parse(readFileSync(original, 'utf8')));
    const cluster = { server: this.#listener.url, 'insecure-skip-tls-verify': true };
    const clusters = toArray(config['clusters']).map((entry) => ({ ...toObject(entry), cluster }));
    const path = join(this.#folder, 'kubeconfig.json');
    writeFileSync(path, JSON.stringify({ ...config, clusters }), { mode: 0o600 });
    return path;
  }

  /** Number of open watches of a collection. */
  openWatches(path: string): number {
    return this.#watches.get(path)?.size ?? 0;
  }

  /** Sends a line to every open watch of a collection. */
  inject(path: string, line: string): void {
    for (const response of this.#watches.get(path) ?? []) {
      response.write(`${line}\n`);
    }
  }

  async stop(): Promise<void> {
    await this.#listener.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://proxy');
    const { method, headers } = request;
    const replacement = method === 'GET' ? this.replacements.get(url.pathname) : undefined;
    if (replacement !== undefined) {
      this.replaced += 1;
      response.writeHead(200, { 'content-type': 'application/json' }).end(replacement);
      return;
    }
    const { hostname: host, port } = this.#target;
    const upstream = httpRequest({ host, port, method, path: request.url, headers }, (upstreamResponse) => {
      if (url.searchParams.get('watch') === 'true') {
        this.#watch(url.pathname, upstreamResponse, response);
      } else {
        void this.#forward(method === 'GET' ? url.pathname : '', upstreamResponse, response);
      }
    });
    upstream.on('error', () => response.destroy());
    response.on('close', () => upstream.destroy());
    request.pipe(upstream);
  }

  #watch(path: string, upstreamResponse: IncomingMessage, response: ServerResponse): void {
    const watches = this.#watches.get(path) ?? new Set();
    this.#watches.set(path, watches.add(response));
    response.on('close', () => watches.delete(response));
    response
      .writeHead(upstreamResponse.statusCode ?? 502, { 'content-type': 'application/json' })
      .flushHeaders();
    let rest = '';
    upstreamResponse.on('data', (chunk: Buffer) => {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop() ?? ''; // only whole lines are forwarded, so that no line is injected into another
      for (const line of lines) {
        response.write(`${line}\n`);
      }
    });
    upstreamResponse.on('end', () => response.end());
    upstreamResponse.on('error', () => response.destroy());
  }

  async #forward(path: string, upstreamResponse: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(upstreamResponse).catch(() => undefined);
    if (body === undefined) {
      response.destroy();
      return;
    }
    const extra = this.items.get(path) ?? [];
    const content = extra.length === 0 ? body : addItems(body, extra);
    const type = upstreamResponse.headers['content-type'] ?? 'application/json';
    response.writeHead(upstreamResponse.statusCode ?? 502, { 'content-type': type }).end(content);
  }
}

/** Adds items to a list. They are texts, because parsed values cannot represent all of them. */
function addItems(body: string, extra: readonly string[]): string {
  const { items, ...list } = JSON.parse(body);
  const all = [...extra, ...(items ?? []).map((item: unknown) => JSON.stringify(item))];
  return `${JSON.stringify(list).slice(0, -1)},"items":[${all.join()}]}`;
}
