import { loadKubeConfig } from '../../../src/kube/client.ts';
import { follow, type Watch } from '../../../src/kube/informer.ts';
import { ACCEPT_OBJECTS } from '../../../src/kube/resource.ts';
import type { SimulatedClock } from './clock-and-random.ts';
import { allSecretsPath, allSecretsQuery, type Stored, storedSecret } from './simulated-cluster.ts';

/** What a write of a replica was good for, as a user sees it. */
export type Gain =
  | 'first Secret'
  | 'host added'
  | 'token filled in'
  | 'ended token replaced'
  | 'living token replaced'
  | 'mended after a person'
  | 'nothing';

/** A write of a Secret by a replica. */
export interface Write {
  readonly namespace: string;
  readonly gain: Gain;
  /** True time in ms since the start. */
  readonly at: number;
}

export interface HistoryParts {
  readonly kubeconfigPath: string;
  readonly time: SimulatedClock;
  /** What a password has left of its life, ms; none or less: no registry takes it. */
  leftOf(password: string): number;
}

/**
 * Every version of every pull Secret, as the API server tells it to an administrator: also what was there between two
 * looks. A version that breaks a promise is kept as a complaint.
 */
export class History {
  readonly writes: Write[] = [];
  readonly complaints: string[] = [];
  readonly #parts: HistoryParts;
  readonly #watch: Watch;
  readonly #close: () => Promise<void>;
  readonly #latest = new Map<string, Stored>();
  /** Versions on which a person's change is based, with their namespaces. */
  readonly #touched = new Set<string>();
  readonly #deletable = new Set<string>();
  readonly #byPerson = new Set<string>();

  constructor(parts: HistoryParts) {
    this.#parts = parts;
    const config = loadKubeConfig({
      kubeconfigPath: parts.kubeconfigPath,
      requestTimeoutMs: 10_000,
      userAgent: 'administrator',
    });
    this.#watch = follow({
      config,
      resource: {
        noun: 'pull Secrets',
        path: allSecretsPath,
        query: allSecretsQuery,
        accept: ACCEPT_OBJECTS,
        item: storedSecret,
      },
      sink: {
        replace: (secrets) => this.#replace(secrets),
        set: (secret) => this.#version(secret),
        remove: ({ namespace }) => this.#gone(namespace),
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

  get latest(): ReadonlyMap<string, Stored> {
    return this.#latest;
  }

  /** The version that follows this one is a person's. */
  expectChange({ namespace, version }: Stored): void {
    this.#touched.add(`${namespace} ${version}`);
  }

  /** The Secret is about to be deleted by a person, or by the end of its namespace. */
  expectDeletion(namespace: string): void {
    this.#deletable.add(namespace);
  }

  #replace(secrets: readonly Stored[]): void {
    const there = new Set(secrets.map(({ namespace }) => namespace));
    for (const namespace of this.#latest.keys()) {
      if (!there.has(namespace)) {
        this.#gone(namespace);
      }
    }
    for (const secret of secrets) {
      this.#version(secret);
    }
  }

  #gone(namespace: string): void {
    if (!this.#deletable.delete(namespace)) {
      this.#complain(namespace, 'a replica deleted the Secret');
    }
    this.#latest.delete(namespace);
  }

  #version(secret: Stored): void {
    const { namespace, version } = secret;
    const before = this.#latest.get(namespace);
    if (before?.version === version) {
      return;
    }
    this.#latest.set(namespace, secret);
    if (before !== undefined && this.#touched.delete(`${namespace} ${before.version}`)) {
      this.#byPerson.add(namespace);
      return;
    }
    const mends = this.#byPerson.delete(namespace);
    const gain = mends ? 'mended after a person' : this.#gain(before, secret);
    this.#writes(namespace, gain);
    if (before !== undefined) {
      this.#compare(before, secret);
    }
  }

  #writes(namespace: string, gain: Gain): void {
    this.writes.push({ namespace, gain, at: this.#parts.time.elapsed });
    if (gain === 'nothing') {
      this.#complain(namespace, 'a write that changed nothing');
    }
  }

  #gain(before: Stored | undefined, after: Stored): Gain {
    if (before === undefined) {
      return 'first Secret';
    }
    const changed = [...after.passwords].filter(([host, one]) => before.passwords.get(host) !== one);
    const old = changed.map(([host]) => before.passwords.get(host));
    if (old.some((one) => one !== undefined && this.#isLiving(one))) {
      return 'living token replaced';
    }
    if (old.some((one) => one !== undefined)) {
      return 'ended token replaced';
    }
    if (after.hosts.size > before.hosts.size) {
      return 'host added';
    }
    return changed.length > 0 ? 'token filled in' : 'nothing';
  }

  #compare(before: Stored, after: Stored): void {
    const { namespace } = after;
    if (after.uid !== before.uid) {
      this.#complain(namespace, 'the UID changed');
    }
    for (const host of before.hosts) {
      if (!after.hosts.has(host)) {
        this.#complain(namespace, `${host} was lost from the annotation`);
      }
    }
    for (const [host, password] of before.passwords) {
      if (this.#isLiving(password) && !this.#isLiving(after.passwords.get(host) ?? '')) {
        this.#complain(namespace, `the living token of ${host} was lost`);
      }
    }
  }

  #isLiving(password: string): boolean {
    return this.#parts.leftOf(password) > 0;
  }

  #complain(namespace: string, what: string): void {
    this.complaints.push(`${namespace}: ${what}`);
  }
}
