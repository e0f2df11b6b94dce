// An API server stand-in in this process.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Cluster } from '../../cluster/cluster.ts';
import type { ApiResponse, CallOptions } from '../../cluster/kube-request.ts';
import { ApiFaults } from './api-faults.ts';
import { targetOf } from './api-resources.ts';
import { Listener } from './https-listener.ts';
import { type KubeObject, objectFrom } from './kube-object.ts';
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

/** How a stand-in is to be. */
export interface StandInOptions {
  /** What it says to be, without a leading `v`. */
  version?: string;
}

/**
 * A stand-in for the API server: in this process, in memory, over plain HTTP on a loopback port. It speaks as much of
 * the API as this product and its tests need, the way the real one does it; what it does not know it refuses aloud.
 *
 * It knows namespaces, Secrets, Pods, ServiceAccounts, ConfigMaps, Events, RBAC's four kinds and mutating webhook
 * configurations; get, list (pages, metadata only), watch (bookmarks, 410), create, update, patch and server-side apply
 * (Secrets only), delete, dry run. It does not know: controllers (a deleted namespace stays), defaults of a pod's
 * fields, CEL, `reinvocationPolicy`, webhooks behind a Service.
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
  readonly #adminToken = this.#users.admin();
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

  /** Starts one on a free port. */
  static async start({ version = '1.37.2' }: StandInOptions = {}): Promise<ApiStandIn> {
    return new ApiStandIn(version, await Listener.start());
  }

  /** Where it listens. */
  get url(): string {
    return this.#listener.url;
  }

  /** How many watches are open. */
  get openWatches(): number {
    return this.#watches.count;
  }

  /** How many connections there have been. */
  get connections(): number {
    return this.#listener.connections;
  }

  /** Stores a new object as it is, without asking over the network: quick, for many. */
  seed(path: string, object: unknown): KubeObject {
    const target = targetOf(path);
    return this.#store.create(target.resource, objectFrom(object, target));
  }

  /** What is stored at a path of the API, without asking over the network. */
  stored(path: string): KubeObject | undefined {
    const { resource, namespace, name = '' } = targetOf(path);
    return this.#store.get(resource, namespace, name);
  }

  /** Makes a namespace `PREFIX-RANDOM` with its `default` ServiceAccount; gives its name. */
  async createNamespace(prefix = 'test'): Promise<string> {
    const name = `${prefix}-${randomBytes(4).toString('hex')}`;
    await this.request('POST', '/api/v1/namespaces', { metadata: { name } });
    await this.request('POST', `/api/v1/namespaces/${name}/serviceaccounts`, {
      metadata: { name: 'default' },
    });
    return name;
  }

  /** Makes the ServiceAccount if need be, and a kubeconfig file with a token of its; gives the path. */
  async serviceAccountKubeconfig(namespace: string, name: string): Promise<string> {
    await this.request('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name } });
    return this.#writeKubeconfig(`${namespace}-${name}`, this.#users.serviceAccount(namespace, name));
  }

  /** Takes back the tokens of all ServiceAccounts. */
  revokeServiceAccountTokens(): void {
    this.#users.revokeServiceAccounts();
  }

  /** One call as the administrator, over the network. */
  readonly request = async (
    method: string,
    path: string,
    body?: unknown,
    how: CallOptions = {},
  ): Promise<ApiResponse> => {
    const { contentType = 'application/json', accept = 'application/json' } = how;
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.#adminToken}`, 'content-type': contentType, accept },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const warnings = [...(response.headers.get('warning') ?? '').matchAll(/299 - "((?:[^"\\]|\\.)*)"/g)];
    return {
      status: response.status,
      body: parsed(await response.text()),
      warnings: warnings.map(([, text = '']) => text.replace(/\\(.)/g, '$1')),
    };
  };

  /** Resets all connections and takes no new ones. What is stored stays. */
  async down(): Promise<void> {
    await this.#listener.close();
  }

  /** Listens again, on the same port. */
  async up(): Promise<void> {
    await this.#listener.open();
  }

  /** Ends everything and removes its files. */
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

function parsed(text: string): unknown {
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
