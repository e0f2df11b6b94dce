import { loadKubeConfig } from '../../../src/kube/client.ts';
import { createInformer, type Informer } from '../../../src/kube/informer.ts';
import { acceptObjects } from '../../../src/kube/resource.ts';
import type { SimulatedClock } from './clock-and-random.ts';
import {
  allSecretsPath,
  allSecretsQuery,
  parseStoredSecret,
  type StoredSecret,
} from './simulated-cluster.ts';

/** What a write of a replica was good for, as a user sees it. */
export type WriteEffect =
  | 'first Secret'
  | 'host added'
  | 'token filled in'
  | 'ended token replaced'
  | 'living token replaced'
  | 'mended after a person'
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
  /** What a password has left of its life, ms; none or less: no registry takes it. */
  leftOf(password: string): number;
}

/**
 * Every version of every pull Secret, as the API server tells it to an administrator: also what was there between two
 * looks. A version that breaks a promise is kept as a complaint.
 */
export class SecretHistory {
  readonly writes: RecordedWrite[] = [];
  readonly violations: string[] = [];
  readonly #options: SecretHistoryOptions;
  readonly #watch: Informer;
  readonly #close: () => Promise<void>;
  readonly #latest = new Map<string, StoredSecret>();
  /** Versions on which a person's change is based, with their namespaces. */
  readonly #userEdits = new Set<string>();
  readonly #deletable = new Set<string>();
  readonly #editedByUser = new Set<string>();

  constructor(parts: SecretHistoryOptions) {
    this.#options = parts;
    const config = loadKubeConfig({
      kubeconfigPath: parts.kubeconfigPath,
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

  get latest(): ReadonlyMap<string, StoredSecret> {
    return this.#latest;
  }

  /** The version that follows this one is a person's. */
  expectChange({ namespace, version }: StoredSecret): void {
    this.#userEdits.add(`${namespace} ${version}`);
  }

  /** The Secret is about to be deleted by a person, or by the end of its namespace. */
  expectDeletion(namespace: string): void {
    this.#deletable.add(namespace);
  }

  #replace(secrets: readonly StoredSecret[]): void {
    const there = new Set(secrets.map(({ namespace }) => namespace));
    for (const namespace of this.#latest.keys()) {
      if (!there.has(namespace)) {
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
    const mends = this.#editedByUser.delete(namespace);
    const gain = mends ? 'mended after a person' : this.#classifyWrite(before, secret);
    this.#recordWrite(namespace, gain);
    if (before !== undefined) {
      this.#compare(before, secret);
    }
  }

  #recordWrite(namespace: string, gain: WriteEffect): void {
    this.writes.push({ namespace, effect: gain, at: this.#options.time.elapsed });
    if (gain === 'nothing') {
      this.#reportViolation(namespace, 'a write that changed nothing');
    }
  }

  #classifyWrite(before: StoredSecret | undefined, after: StoredSecret): WriteEffect {
    if (before === undefined) {
      return 'first Secret';
    }
    const changed = [...after.passwords].filter(([host, one]) => before.passwords.get(host) !== one);
    const old = changed.map(([host]) => before.passwords.get(host));
    if (old.some((one) => one !== undefined && this.#isUnexpired(one))) {
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

  #compare(before: StoredSecret, after: StoredSecret): void {
    const { namespace } = after;
    if (after.uid !== before.uid) {
      this.#reportViolation(namespace, 'the UID changed');
    }
    for (const host of before.hosts) {
      if (!after.hosts.has(host)) {
        this.#reportViolation(namespace, `${host} was lost from the annotation`);
      }
    }
    for (const [host, password] of before.passwords) {
      if (this.#isUnexpired(password) && !this.#isUnexpired(after.passwords.get(host) ?? '')) {
        this.#reportViolation(namespace, `the living token of ${host} was lost`);
      }
    }
  }

  #isUnexpired(password: string): boolean {
    return this.#options.leftOf(password) > 0;
  }

  #reportViolation(namespace: string, what: string): void {
    this.violations.push(`${namespace}: ${what}`);
  }
}
