// The pull Secrets as the API server stores them: one list, and a history of every version.
import { loadKubeConfig } from '../../../src/kube/client.ts';
import { createInformer, type Informer } from '../../../src/kube/informer.ts';
import { acceptObjects } from '../../../src/kube/resource.ts';
import { getItems } from '../../../src/util/json.ts';
import type { Request } from '../../cluster/kube-request.ts';
import type { SimulatedClock } from './clock-and-random.ts';

/** A stored pull Secret, parsed without the product's own code. */
export interface StoredSecret {
  readonly namespace: string;
  readonly uid: string;
  readonly version: string;
  /** Hosts in the annotation. */
  readonly hosts: ReadonlySet<string>;
  /** Host → password in its entry of `auths`. */
  readonly passwords: ReadonlyMap<string, string>;
  /** Host without a token → when it was requested, in ms since the epoch. */
  readonly requestedAt: ReadonlyMap<string, number>;
}

interface SecretBody {
  readonly metadata: {
    readonly namespace: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly annotations?: Record<string, string>;
  };
  readonly data?: Record<string, string>;
}

const secretName = 'ecr-pull-secrets';

const allSecretsPath = '/api/v1/secrets';
const allSecretsQuery = { fieldSelector: `metadata.name=${secretName}` };

export function secretPath(namespace: string): string {
  return `/api/v1/namespaces/${namespace}/secrets/${secretName}`;
}

export function parseStoredSecret(object: unknown): StoredSecret {
  const { metadata, data = {} } = object as SecretBody;
  const { namespace, uid, resourceVersion: version, annotations = {} } = metadata;
  const named = JSON.parse(annotations['ecr-pull-secrets.io/hosts'] || '{}');
  const json = Buffer.from(data['.dockerconfigjson'] ?? '', 'base64').toString();
  const auths: Record<string, { auth?: string }> = JSON.parse(json || '{}').auths ?? {};
  const passwords = Object.entries(auths).map(([host, { auth = '' }]): [string, string] => [
    host,
    atob(auth).replace(/^AWS:/, ''),
  ]);
  const requestedAt = Object.entries<{ requestedAt?: string } | null>(named).flatMap(
    ([host, entry]): [string, number][] =>
      entry?.requestedAt ? [[host, Date.parse(entry.requestedAt)]] : [],
  );
  return {
    ...{ namespace, uid, version, hosts: new Set(Object.keys(named)) },
    ...{ passwords: new Map(passwords), requestedAt: new Map(requestedAt) },
  };
}

/** Lists all pull Secrets by namespace, in one call as the administrator. */
export async function listStoredSecrets(request: Request): Promise<Map<string, StoredSecret>> {
  const query = new URLSearchParams(allSecretsQuery);
  const { status, body } = await request('GET', `${allSecretsPath}?${query}`);
  if (status !== 200) {
    throw new Error(`list of Secrets: ${status}`);
  }
  const secrets = getItems(Reflect.get(Object(body), 'items')).map(parseStoredSecret);
  return new Map(secrets.map((secret) => [secret.namespace, secret]));
}

/** What a write of a replica changed, from the user's point of view. */
export type WriteEffect =
  | 'first Secret'
  | 'host added'
  | 'token filled in'
  | 'expired token replaced'
  | 'valid token replaced'
  | 'restored after a user edit'
  | 'denied host removed'
  /** By a replica whose clock is behind, so that the time was in its future. */
  | 'request time corrected'
  | 'nothing';

/** A write of a Secret by a replica. */
export interface RecordedWrite {
  readonly namespace: string;
  readonly effect: WriteEffect;
  /** True time in ms since the start. */
  readonly at: number;
}

export interface SecretHistoryOptions {
  readonly kubeconfigPath: string;
  readonly time: SimulatedClock;
  /** Remaining lifetime of a password in ms; zero or less: registries reject it. */
  remainingMs(password: string): number;
  /** Why a namespace may not have a password now, because another identity fetched it; undefined: it may. */
  findForeignIdentity?(namespace: string, password: string): string | undefined;
}

/**
 * Records every version of every pull Secret from a watch as the administrator, so that checks also cover the versions between
 * two lists. A version that violates an invariant is added to `violations`.
 */
export class SecretHistory {
  readonly writes: RecordedWrite[] = [];
  readonly violations: string[] = [];
  readonly #options: SecretHistoryOptions;
  readonly #watch: Informer;
  readonly #close: () => Promise<void>;
  readonly #latest = new Map<string, StoredSecret>();
  /** Namespaces and versions that a user edit is based on. */
  readonly #userEdits = new Set<string>();
  readonly #deletable = new Set<string>();
  readonly #editedByUser = new Set<string>();
  readonly #denied = new Set<string>();

  constructor(options: SecretHistoryOptions) {
    this.#options = options;
    const config = loadKubeConfig({
      kubeconfigPath: options.kubeconfigPath,
      requestTimeoutMs: 10_000,
      userAgent: 'administrator',
    });
    this.#watch = createInformer({
      config,
      resource: {
        noun: 'pull Secrets',
        path: allSecretsPath,
        query: allSecretsQuery,
        accept: acceptObjects,
        parseItem: parseStoredSecret,
      },
      handler: {
        replace: (secrets) => this.#replace(secrets),
        set: (secret) => this.#handleVersion(secret),
        remove: ({ namespace }) => this.#handleRemoval(namespace),
      },
      backoff: () => 50,
    });
    this.#close = () => config.close();
  }

  async start(): Promise<void> {
    await this.#watch.start();
  }

  async stop(): Promise<void> {
    await this.#watch.stop();
    await this.#close();
  }

  /** Remaining lifetime of a password in ms; zero or less: registries reject it. */
  remainingMs(password: string): number {
    return this.#options.remainingMs(password);
  }

  get latest(): ReadonlyMap<string, StoredSecret> {
    return this.#latest;
  }

  /** The next version after this one is written by a user. */
  expectUserEdit({ namespace, version }: StoredSecret): void {
    this.#userEdits.add(`${namespace} ${version}`);
  }

  /** Hosts of the namespace may be removed until it has a token again. */
  expectDenial(namespace: string): void {
    this.#denied.add(namespace);
  }

  /** The next deletion of the Secret is by a user or with its namespace. */
  expectDeletion(namespace: string): void {
    this.#deletable.add(namespace);
  }

  #replace(secrets: readonly StoredSecret[]): void {
    const listed = new Set(secrets.map(({ namespace }) => namespace));
    for (const namespace of this.#latest.keys()) {
      if (!listed.has(namespace)) {
        this.#handleRemoval(namespace);
      }
    }
    for (const secret of secrets) {
      this.#handleVersion(secret);
    }
  }

  #handleRemoval(namespace: string): void {
    if (!this.#deletable.delete(namespace)) {
      this.#reportViolation(namespace, 'a replica deleted the Secret');
    }
    this.#latest.delete(namespace);
  }

  #handleVersion(secret: StoredSecret): void {
    const { namespace, version } = secret;
    const before = this.#latest.get(namespace);
    if (before?.version === version) {
      return;
    }
    this.#latest.set(namespace, secret);
    if (before !== undefined && this.#userEdits.delete(`${namespace} ${before.version}`)) {
      this.#editedByUser.add(namespace);
      return;
    }
    const isRepair = this.#editedByUser.delete(namespace);
    const effect = isRepair ? 'restored after a user edit' : this.#classifyWrite(before, secret);
    this.#recordWrite(namespace, effect);
    this.#checkIdentities(before, secret);
    if (before !== undefined) {
      this.#checkNothingLost(before, secret);
    }
  }

  #checkIdentities(before: StoredSecret | undefined, { namespace, passwords }: StoredSecret): void {
    for (const [host, password] of passwords) {
      const problem =
        before?.passwords.get(host) === password
          ? undefined
          : this.#options.findForeignIdentity?.(namespace, password);
      if (problem !== undefined) {
        this.#reportViolation(namespace, `${host} ${problem}`);
      }
    }
  }

  #recordWrite(namespace: string, effect: WriteEffect): void {
    this.writes.push({ namespace, effect, at: this.#options.time.elapsed });
    if (effect === 'nothing') {
      this.#reportViolation(namespace, 'a write that changed nothing');
    }
  }

  #classifyWrite(before: StoredSecret | undefined, after: StoredSecret): WriteEffect {
    if (before === undefined) {
      return 'first Secret';
    }
    const changed = [...after.passwords].filter(
      ([host, password]) => before.passwords.get(host) !== password,
    );
    const replaced = changed.map(([host]) => before.passwords.get(host)).filter((one) => one !== undefined);
    if (replaced.some((password) => this.#isUnexpired(password))) {
      return 'valid token replaced';
    }
    if (replaced.length > 0) {
      return 'expired token replaced';
    }
    if (after.hosts.size > before.hosts.size) {
      return 'host added';
    }
    if (this.#denied.has(after.namespace) && after.hosts.size < before.hosts.size) {
      return 'denied host removed';
    }
    if (changed.length > 0) {
      return 'token filled in';
    }
    const isCorrected = [...after.requestedAt].some(
      ([host, at]) => at < (before.requestedAt.get(host) ?? at),
    );
    return isCorrected ? 'request time corrected' : 'nothing';
  }

  #checkNothingLost(before: StoredSecret, after: StoredSecret): void {
    const { namespace } = after;
    if (after.uid !== before.uid) {
      this.#reportViolation(namespace, 'the UID changed');
    }
    if (this.#denied.has(namespace)) {
      if (after.hosts.size >= before.hosts.size) {
        this.#denied.delete(namespace); // it is allowed again
      }
      return;
    }
    for (const host of before.hosts) {
      if (!after.hosts.has(host)) {
        this.#reportViolation(namespace, `${host} was lost from the annotation`);
      }
    }
    for (const [host, password] of before.passwords) {
      if (this.#isUnexpired(password) && !this.#isUnexpired(after.passwords.get(host) ?? '')) {
        this.#reportViolation(namespace, `the valid token of ${host} was lost`);
      }
    }
  }

  #isUnexpired(password: string): boolean {
    return this.#options.remainingMs(password) > 0;
  }

  #reportViolation(namespace: string, description: string): void {
    this.violations.push(`${namespace}: ${description}`);
  }
}
