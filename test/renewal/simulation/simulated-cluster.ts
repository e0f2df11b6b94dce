import { getItems } from '../../../src/util/json.ts';
import type { Request } from '../../cluster/kube-request.ts';
import { minuteMs, type Random, type SimulatedClock } from './clock-and-random.ts';
import type { SecretHistory } from './secret-history.ts';

/** A pull Secret as it is stored, read without any of the product's own code. */
export interface StoredSecret {
  readonly namespace: string;
  readonly uid: string;
  readonly version: string;
  /** What the annotation names. */
  readonly hosts: ReadonlySet<string>;
  /** Host → the password in its entry of `auths`. */
  readonly passwords: ReadonlyMap<string, string>;
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

/** All pull Secrets of the cluster. */
export const allSecretsPath = '/api/v1/secrets';
export const allSecretsQuery = { fieldSelector: `metadata.name=${secretName}` };

function secretPath(namespace: string): string {
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
  return { namespace, uid, version, hosts: new Set(Object.keys(named)), passwords: new Map(passwords) };
}

/** The truth: all pull Secrets by namespace, in one call as the administrator. */
export async function listStored(request: Request): Promise<Map<string, StoredSecret>> {
  const query = new URLSearchParams(allSecretsQuery);
  const { status, body } = await request('GET', `${allSecretsPath}?${query}`);
  if (status !== 200) {
    throw new Error(`list of Secrets: ${status}`);
  }
  const secrets = getItems(Reflect.get(Object(body), 'items')).map(parseStoredSecret);
  return new Map(secrets.map((secret) => [secret.namespace, secret]));
}

export const regions = ['eu-central-1', 'us-east-1', 'ap-south-1'] as const;
/** Here nobody starts a pod after the first ones, so that nothing but renewal keeps its tokens young. */
const quietRegion = regions[2];
const busyRegions = regions.filter((region) => region !== quietRegion);
const accounts = ['123456789012', '210987654321'] as const;

/** A namespace and what its pods have asked for so far. */
export interface Team {
  readonly namespace: string;
  readonly hosts: Set<string>;
  /** When a person last did something to it, true time in ms since the start. */
  lastChangedAt: number;
}

export interface SimulatedClusterDependencies {
  readonly request: Request;
  readonly history: SecretHistory;
  readonly time: SimulatedClock;
  readonly random: Random;
}

export function regionOf(host: string): string {
  return host.split('.')[3] ?? '';
}

/** The namespaces and the people of the cluster. */
export class SimulatedCluster {
  readonly teams = new Map<string, Team>();
  readonly deleted = new Set<string>();
  /** Hosts of all namespaces that ever were. */
  readonly everUsed = new Map<string, ReadonlySet<string>>();
  /** Secrets that a person changed, and what they hold. */
  readonly edits: { readonly at: number; readonly hosts: ReadonlySet<string> }[] = [];
  /** Whatever people and pods did to a namespace's Secret. */
  readonly secretChanges: { readonly at: number; readonly namespace: string }[] = [];
  readonly #dependencies: SimulatedClusterDependencies;
  #createdCount = 0;

  constructor(parts: SimulatedClusterDependencies) {
    this.#dependencies = parts;
  }

  /** Those in which pods start, and of which some are deleted. */
  get busyTeams(): Team[] {
    return [...this.teams.values()].filter(({ hosts }) =>
      [...hosts].every((host) => regionOf(host) !== quietRegion),
    );
  }

  /** A namespace whose pods use one region, or two: each fourth one does. */
  async create(among: readonly string[] = busyRegions): Promise<Team> {
    const { request, time, random } = this.#dependencies;
    const number = this.#createdCount++;
    const namespace = `team-${number}`;
    const object = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
    await expectStatus(request('POST', '/api/v1/namespaces', object), 201);
    const first = Math.floor(random.next() * among.length);
    const places = number % 4 === 0 ? [first, first + 1] : [first];
    const used = places.map((place) => pickHost(among[place % among.length], random));
    const team = { namespace, hosts: new Set(used), lastChangedAt: time.elapsed };
    this.teams.set(namespace, team);
    this.everUsed.set(namespace, team.hosts);
    this.#recordChange(team);
    return team;
  }

  /** The next pod of a namespace uses one more registry. */
  addHost(team: Team): void {
    const { random } = this.#dependencies;
    team.hosts.add(pickHost(random.pick(busyRegions), random));
    this.#recordChange(team);
  }

  /**
   * Deletes a namespace, and does what its controller would: the Secret goes, and sometimes the namespace as well; else
   * it stays terminating.
   */
  async delete({ namespace }: Team): Promise<void> {
    const { request, history } = this.#dependencies;
    this.teams.delete(namespace);
    this.deleted.add(namespace);
    const path = `/api/v1/namespaces/${namespace}`;
    const { body } = await expectStatus(request('DELETE', path), 200);
    history.expectDeletion(namespace);
    await expectStatus(request('DELETE', secretPath(namespace)), 200);
    if (this.deleted.size % 2 === 0) {
      const finalized = { ...Object(body), spec: { finalizers: [] } };
      await expectStatus(request('PUT', `${path}/finalize`, finalized), 200);
    }
  }

  async deleteSecret(team: Team): Promise<void> {
    const { request, history } = this.#dependencies;
    this.#recordChange(team);
    history.expectDeletion(team.namespace);
    await expectStatus(request('DELETE', secretPath(team.namespace)), 200);
  }

  /** A person takes a host's entry out of `auths`, and leaves the annotation. */
  async removeEntry(team: Team): Promise<void> {
    const [host = ''] = team.hosts;
    await this.#edit(team, ({ data }) => {
      const config = JSON.parse(atob(data['.dockerconfigjson'] ?? ''));
      delete config.auths[host];
      data['.dockerconfigjson'] = btoa(JSON.stringify(config));
    });
  }

  async emptyAnnotation(team: Team): Promise<void> {
    await this.#edit(team, ({ metadata }) => {
      metadata.annotations = { 'ecr-pull-secrets.io/hosts': '' };
    });
  }

  async #edit(team: Team, change: (secret: Editable) => void): Promise<void> {
    const { request, history, time } = this.#dependencies;
    const path = secretPath(team.namespace);
    const { body } = await expectStatus(request('GET', path), 200);
    const secret = structuredClone(body) as Editable;
    change(secret);
    history.expectChange(parseStoredSecret(body));
    this.#recordChange(team);
    this.edits.push({ at: time.elapsed, hosts: team.hosts });
    await expectStatus(request('PUT', path, secret), 200);
  }

  #recordChange(team: Team): void {
    team.lastChangedAt = this.#dependencies.time.elapsed;
    this.secretChanges.push({ at: team.lastChangedAt, namespace: team.namespace });
  }
}

interface Editable {
  readonly metadata: { annotations: Record<string, string> };
  readonly data: Record<string, string>;
}

/**
 * What is wrong with a namespace's Secret, host by host; none: all of its pods can pull.
 * @param leastMs what a token has to have left
 */
export function findUnhealthyHosts(
  team: Team,
  secret: StoredSecret | undefined,
  leftOf: (password: string) => number,
  leastMs = 0,
): { host: string; what: string }[] {
  return [...team.hosts].flatMap((host) => {
    const password = secret?.passwords.get(host);
    if (secret?.hosts.has(host) !== true) {
      return [{ host, what: 'is not named' }];
    }
    if (password === undefined) {
      return [{ host, what: 'has no token' }];
    }
    const left = leftOf(password);
    return left > leastMs
      ? []
      : [{ host, what: `has a token that ends in ${Math.round(left / minuteMs)} min` }];
  });
}

function pickHost(region: string | undefined, random: Random): string {
  return `${random.pick(accounts)}.dkr.ecr.${region}.amazonaws.com`;
}

async function expectStatus(answer: ReturnType<Request>, status: number) {
  const got = await answer;
  if (got.status !== status) {
    throw new Error(`${got.status} in place of ${status}: ${JSON.stringify(got.body)}`);
  }
  return got;
}
