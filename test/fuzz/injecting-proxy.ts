// An API server that tells more than is true: forwards to a stand-in, and puts texts into lists, watches and answers.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { parse } from 'yaml';
import { Listener } from '../doubles/api-server/https-listener.ts';
import { arrayOr, objectOr } from '../doubles/api-server/kube-object.ts';

export class InjectingProxy {
  /** Path of a collection → JSON texts that each of its lists holds beside the real items. */
  readonly items = new Map<string, readonly string[]>();
  /** Path of an object → the body that a GET gets in place of the real one. */
  readonly answers = new Map<string, string>();
  /** How many reads got one of these. */
  answered = 0;
  readonly #target: URL;
  readonly #listener: Listener;
  readonly #watches = new Map<string, Set<ServerResponse>>();
  readonly #folder = mkdtempSync(join(tmpdir(), 'injecting-proxy-'));

  private constructor(target: string, listener: Listener) {
    this.#target = new URL(target);
    this.#listener = listener;
    listener.setHandler((request, response) => this.#handle(request, response));
  }

  /** @param target the address of the stand-in */
  static async start(target: string): Promise<InjectingProxy> {
    return new InjectingProxy(target, await Listener.start());
  }

  /** A kubeconfig file that is as the given one, but leads here; gives its path. */
  kubeconfig(original: string): string {
    const config = objectOr(parse(readFileSync(original, 'utf8')));
    const cluster = { server: this.#listener.url, 'insecure-skip-tls-verify': true };
    const clusters = arrayOr(config['clusters']).map((entry) => ({ ...objectOr(entry), cluster }));
    const path = join(this.#folder, 'kubeconfig.json');
    writeFileSync(path, JSON.stringify({ ...config, clusters }), { mode: 0o600 });
    return path;
  }

  /** How many watches of a collection are open. */
  openWatches(path: string): number {
    return this.#watches.get(path)?.size ?? 0;
  }

  /** Sends a line to every open watch of a collection. */
  inject(path: string, line: string): void {
    for (const response of this.#watches.get(path) ?? []) response.write(`${line}\n`);
  }

  async stop(): Promise<void> {
    await this.#listener.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', 'http://proxy');
    const { method, headers } = request;
    const answer = method === 'GET' ? this.answers.get(url.pathname) : undefined;
    if (answer !== undefined) {
      this.answered += 1;
      response.writeHead(200, { 'content-type': 'application/json' }).end(answer);
      return;
    }
    const { hostname: host, port } = this.#target;
    const upstream = httpRequest({ host, port, method, path: request.url, headers }, (answered) => {
      if (url.searchParams.get('watch') === 'true') this.#watch(url.pathname, answered, response);
      else void this.#answer(method === 'GET' ? url.pathname : '', answered, response);
    });
    upstream.on('error', () => response.destroy());
    response.on('close', () => upstream.destroy());
    request.pipe(upstream);
  }

  #watch(path: string, answered: IncomingMessage, response: ServerResponse): void {
    const watches = this.#watches.get(path) ?? new Set();
    this.#watches.set(path, watches.add(response));
    response.on('close', () => watches.delete(response));
    response.writeHead(answered.statusCode ?? 502, { 'content-type': 'application/json' }).flushHeaders();
    let rest = '';
    answered.on('data', (chunk: Buffer) => {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop() ?? ''; // a line is passed on whole, so that none is injected into it
      for (const line of lines) response.write(`${line}\n`);
    });
    answered.on('end', () => response.end());
    answered.on('error', () => response.destroy());
  }

  async #answer(path: string, answered: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(answered).catch(() => undefined);
    if (body === undefined) {
      response.destroy();
      return;
    }
    const extra = this.items.get(path) ?? [];
    const whole = extra.length === 0 ? body : withItems(body, extra);
    const type = answered.headers['content-type'] ?? 'application/json';
    response.writeHead(answered.statusCode ?? 502, { 'content-type': type }).end(whole);
  }
}

/** A list with more items, which are texts since no value holds what they may hold. */
function withItems(body: string, extra: readonly string[]): string {
  const { items, ...list } = JSON.parse(body);
  const all = [...extra, ...(items ?? []).map((item: unknown) => JSON.stringify(item))];
  return `${JSON.stringify(list).slice(0, -1)},"items":[${all.join()}]}`;
}
