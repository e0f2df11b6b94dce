// A stand-in for the Kubernetes API server, in this process and in memory.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cluster } from '../../cluster/cluster.ts';
import type { ApiResponse, CallOptions } from '../../cluster/kube-request.ts';
import { ApiFaults } from './api-faults.ts';
import { parseTarget } from './api-resources.ts';
import { Listener } from './http-listener.ts';
import { type KubeObject, parseObject } from './kube-object.ts';
import { Lists } from './lists.ts';
import { Users } from './rbac.ts';
import { RequestHandler, RequestLog } from './request-handler.ts';
import { Store } from './store.ts';
import { Watches } from './watches.ts';
import { Admission } from './webhook-admission.ts';
import { Writes } from './writes.ts';

type RealCluster = Pick<
  Cluster,
  'kubeconfigPath' | 'version' | 'request' | 'createNamespace' | 'serviceAccountKubeconfig' | 'stop'
>;

/** Options of a stand-in. */
export interface StandInOptions {
  /** The Kubernetes version that it reports, without a leading `v`. */
  version?: string;
}

/**
 * A stand-in for the API server, in this process and in memory, with plain HTTP on a loopback port. It implements the part of
 * the API that this product and its tests need, with the behaviour of the real API server, and responds to everything else
 * with an error.
 *
 * Supported: namespaces, Secrets, Pods, ServiceAccounts, ConfigMaps, Events, the four kinds of RBAC and mutating webhook
 * configurations; get, list (pages, metadata only), watch (bookmarks, 410), create, update, patch, server-side apply (Secrets
 * only), delete and dry run. Not supported: controllers (a deleted namespace stays), defaults of a pod's fields, CEL,
 * `reinvocationPolicy`, and webhooks behind a Service.
 */
export class ApiStandIn implements RealCluster {
  readonly version: string;
  /** The kubeconfig of an administrator. */
  readonly kubeconfigPath: string;
  readonly faults: ApiFaults;
  readonly requests = new RequestLog();
  readonly #folder = mkdtempSync(join(tmpdir(), 'api-stand-in-'));
  readonly #store = new Store();
  readonly #users = new Users();
  readonly #lists = new Lists(this.#store);
  readonly #watches = new Watches(this.#store);
  readonly #admission = new Admission(this.#store);
  readonly #adminToken = this.#users.createAdmin();
  readonly #listener: Listener;

  private constructor(version: string, listener: Listener) {
    this.version = version;
    this.#listener = listener;
    this.faults = new ApiFaults(this.#store, this.#lists, this.#watches);
    this.kubeconfigPath = this.#writeKubeconfig('admin', this.#adminToken);
    const handler = new RequestHandler({
      version,
      store: this.#store,
      users: this.#users,
      lists: this.#lists,
      watches: this.#watches,
      writes: new Writes(this.#store, this.#admission),
      faults: this.faults,
      requests: this.requests,
    });
    listener.setHandler((request, response) => void handler.handle(request, response));
  }

  /** Starts a stand-in on a free port. */
  static async start({ version = '1.37.2' }: StandInOptions = {}): Promise<ApiStandIn> {
    return new ApiStandIn(version, await Listener.start());
  }

  /** The URL that it listens on. */
  get url(): string {
    return this.#listener.url;
  }

  /** Number of open watches. */
  get openWatches(): number {
    return this.#watches.count;
  }

  /** Number of connections so far. */
  get connections(): number {
    return this.#listener.connections;
  }

  /** Stores a new object without an HTTP request, which is quick for many objects. */
  seed(path: string, object: unknown): KubeObject {
    const target = parseTarget(path);
    return this.#store.create(target.resource, parseObject(object, target));
  }

  /** Returns the object at a path of the API, without an HTTP request. */
  getStored(path: string): KubeObject | undefined {
    const { resource, namespace, name = '' } = parseTarget(path);
    return this.#store.get(resource, namespace, name);
  }

  /** Creates a namespace `PREFIX-RANDOM` with its ServiceAccount `default`. Returns its name. */
  async createNamespace(prefix = 'test'): Promise<string> {
    const name = `${prefix}-${randomBytes(4).toString('hex')}`;
    await this.request('POST', '/api/v1/namespaces', { metadata: { name } });
    await this.request('POST', `/api/v1/namespaces/${name}/serviceaccounts`, {
      metadata: { name: 'default' },
    });
    return name;
  }

  /** Creates the ServiceAccount if it does not exist, and a kubeconfig file with its token. Returns the path. */
  async serviceAccountKubeconfig(namespace: string, name: string): Promise<string> {
    await this.request('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name } });
    return this.#writeKubeconfig(`${namespace}-${name}`, this.#users.createServiceAccount(namespace, name));
  }

  /** Revokes the tokens of all ServiceAccounts. */
  revokeServiceAccountTokens(): void {
    this.#users.revokeServiceAccounts();
  }

  /** Sends one HTTP request as the administrator. */
  readonly request = async (
    method: string,
    path: string,
    body?: unknown,
    options: CallOptions = {},
  ): Promise<ApiResponse> => {
    const { contentType = 'application/json', accept = 'application/json' } = options;
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#adminToken}`, 'content-type': contentType, accept },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const warnings = [...(response.headers.get('warning') ?? '').matchAll(/299 - "((?:[^"\\]|\\.)*)"/g)];
    return {
      status: response.status,
      body: parseBody(await response.text()),
      warnings: warnings.map(([, text = '']) => text.replace(/\\(.)/g, '$1')),
    };
  };

  /** Simulates an outage: resets all connections and refuses new ones. The stored objects are kept. */
  async takeDown(): Promise<void> {
    await this.#listener.close();
  }

  /** Ends the outage: listens on the same port again. */
  async bringUp(): Promise<void> {
    await this.#listener.open();
  }

  /** Closes all connections and removes the files. */
  async stop(): Promise<void> {
    await this.#listener.close();
    this.#admission.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #writeKubeconfig(name: string, token: string): string {
    const path = join(this.#folder, `${name}.json`);
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      // client-node refuses plain HTTP without this.
      clusters: [{ name: 'stand-in', cluster: { server: this.url, 'insecure-skip-tls-verify': true } }],
      users: [{ name, user: { token } }],
      contexts: [{ name, context: { cluster: 'stand-in', user: name } }],
      'current-context': name,
    };
    writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
    return path;
  }
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Starts a stand-in for the API server. See {@link ApiStandIn}. */
export async function startApiStandIn(options: StandInOptions = {}): Promise<ApiStandIn> {
  return await ApiStandIn.start(options);
}
