// The simulated cluster's namespaces, pods and users, and what they do to pull Secrets.
import type { Request } from '../../cluster/kube-request.ts';
import { minuteMs, type Random, type SimulatedClock } from './clock-and-random.ts';
import { type Access, labelsFor } from './simulated-identities.ts';
import { parseStoredSecret, type SecretHistory, type StoredSecret, secretPath } from './stored-secrets.ts';

export const regions = ['eu-central-1', 'us-east-1', 'ap-south-1'] as const;
/** Only the first pods use this region, so that nothing but renewal replaces its tokens. */
const quietRegion = regions[2];
const busyRegions = regions.filter((region) => region !== quietRegion);
const accounts = ['123456789012', '210987654321'] as const;

/** A namespace and the hosts that its pods have used so far. */
export interface Team {
  readonly namespace: string;
  readonly hosts: Set<string>;
  /** When a pod or a user last changed what its Secret should hold, in true ms since the start. */
  lastChangedAt: number;
  /** Which identity its namespace has; without rules, it has no meaning. */
  access: Access;
  /** The identity before the last move. */
  previousAccess: Access;
  /** When it last moved, in true ms since the start. */
  movedAt: number;
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

/** Creates and deletes namespaces, adds hosts, and edits Secrets as users do. */
export class SimulatedCluster {
  readonly teams = new Map<string, Team>();
  readonly deleted = new Set<string>();
  /** Hosts of all namespaces, including deleted ones. */
  readonly everUsed = new Map<string, ReadonlySet<string>>();
  /** Edits of Secrets by users. */
  readonly edits: { readonly at: number; readonly hosts: ReadonlySet<string> }[] = [];
  /** Changes by users and pods of what the Secret of a namespace should hold. */
  readonly secretChanges: { readonly at: number; readonly namespace: string }[] = [];
  /** Moves of namespaces to another identity. */
  readonly moves: { readonly at: number; readonly namespace: string }[] = [];
  readonly #dependencies: SimulatedClusterDependencies;
  #createdCount = 0;

  constructor(dependencies: SimulatedClusterDependencies) {
    this.#dependencies = dependencies;
  }

  /** Namespaces in which pods keep starting, and which may be deleted. */
  get busyTeams(): Team[] {
    return [...this.teams.values()].filter(({ hosts }) =>
      [...hosts].every((host) => regionOf(host) !== quietRegion),
    );
  }

  /** Creates a namespace whose pods use one region; in each fourth namespace, two. */
  async create(fromRegions: readonly string[] = busyRegions): Promise<Team> {
    const { request, time, random } = this.#dependencies;
    const number = this.#createdCount++;
    const namespace = `team-${number}`;
    const object = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
    await expectStatus(request('POST', '/api/v1/namespaces', object), 201);
    const first = Math.floor(random.next() * fromRegions.length);
    const indexes = number % 4 === 0 ? [first, first + 1] : [first];
    const used = indexes.map((index) => pickHost(fromRegions[index % fromRegions.length], random));
    const team: Team = {
      ...{ namespace, hosts: new Set(used), lastChangedAt: time.elapsed },
      ...{ access: 'blue', previousAccess: 'blue', movedAt: Number.NEGATIVE_INFINITY },
    };
    this.teams.set(namespace, team);
    this.everUsed.set(namespace, team.hosts);
    this.#recordChange(team);
    return team;
  }

  /** Moves a namespace to another identity, by its labels. */
  async move(team: Team, access: Access): Promise<void> {
    const { request, time, history } = this.#dependencies;
    team.previousAccess = team.access;
    team.access = access;
    team.movedAt = time.elapsed;
    this.#recordChange(team);
    this.moves.push({ at: time.elapsed, namespace: team.namespace });
    if (access === 'denied') {
      history.expectDenial(team.namespace);
    }
    const change = { metadata: { labels: labelsFor(access) } };
    const contentType = 'application/merge-patch+json';
    await expectStatus(
      request('PATCH', `/api/v1/namespaces/${team.namespace}`, change, { contentType }),
      200,
    );
  }

  /** Lets the next pod of a namespace use one more registry. */
  addHost(team: Team): void {
    const { random } = this.#dependencies;
    team.hosts.add(pickHost(random.pick(busyRegions), random));
    this.#recordChange(team);
  }

  /**
   * Deletes a namespace and its Secret, as the namespace controller would. Each second namespace is finalized; the others stay
   * terminating.
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

  /** Removes a host's entry from `auths`, but not from the annotation. */
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

  async #edit(team: Team, change: (secret: EditableSecret) => void): Promise<void> {
    const { request, history, time } = this.#dependencies;
    const path = secretPath(team.namespace);
    const { body } = await expectStatus(request('GET', path), 200);
    const secret = structuredClone(body) as EditableSecret;
    change(secret);
    history.expectUserEdit(parseStoredSecret(body));
    this.#recordChange(team);
    this.edits.push({ at: time.elapsed, hosts: team.hosts });
    await expectStatus(request('PUT', path, secret), 200);
  }

  #recordChange(team: Team): void {
    team.lastChangedAt = this.#dependencies.time.elapsed;
    this.secretChanges.push({ at: team.lastChangedAt, namespace: team.namespace });
  }
}

interface EditableSecret {
  readonly metadata: { annotations: Record<string, string> };
  readonly data: Record<string, string>;
}

/** The problem of a host in a namespace that is denied all tokens. */
export const isStillStored = 'is denied, but still stored';

export interface UnhealthyHost {
  readonly host: string;
  readonly problem: string;
}

/**
 * Returns the hosts for which pods of a namespace cannot pull, each with the problem.
 * @param minRemainingMs minimum remaining lifetime of a token in ms
 */
export function findUnhealthyHosts(
  team: Team,
  secret: StoredSecret | undefined,
  remainingMsOf: (password: string) => number,
  minRemainingMs = 0,
): UnhealthyHost[] {
  if (team.access === 'denied') {
    return [...new Set([...(secret?.hosts ?? []), ...(secret?.passwords.keys() ?? [])])].map((host) => ({
      ...{ host, problem: isStillStored },
    }));
  }
  return [...team.hosts].flatMap((host) => {
    const password = secret?.passwords.get(host);
    if (secret?.hosts.has(host) !== true) {
      return [{ host, problem: 'is not in the annotation' }];
    }
    if (password === undefined) {
      return [{ host, problem: 'has no token' }];
    }
    const remainingMs = remainingMsOf(password);
    return remainingMs > minRemainingMs
      ? []
      : [{ host, problem: `has a token that expires in ${Math.round(remainingMs / minuteMs)} min` }];
  });
}

function pickHost(region: string | undefined, random: Random): string {
  return `${random.pick(accounts)}.dkr.ecr.${region}.amazonaws.com`;
}

async function expectStatus(request: ReturnType<Request>, status: number) {
  const response = await request;
  if (response.status !== status) {
    throw new Error(`HTTP ${response.status} instead of ${status}: ${JSON.stringify(response.body)}`);
  }
  return response;
}
