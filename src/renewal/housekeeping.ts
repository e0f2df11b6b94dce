// Removes hosts from Secrets that no pod needs any more, and adds those that found no room before.
import { registriesOf } from '../ecr/registry.ts';
import type { PullSecrets } from '../pull-secrets/ensure.ts';
import type { PodsInUse } from '../pull-secrets/hosts-in-use.ts';
import type { MissingHosts } from '../pull-secrets/missing-hosts.ts';
import type { SecretView } from '../pull-secrets/secret-cache.ts';
import type { UnstoredHosts } from '../pull-secrets/unstored-hosts.ts';
import type { Log } from '../telemetry/log.ts';
import { type PatientLimit, patientLimit } from '../util/slot-limit.ts';
import { isForgettable } from './forget-policy.ts';
import { UnstoredLooks } from './unstored-pod-checks.ts';

/** A Secret that has no room for a host that a pod requests. */
export interface FullSecret {
  readonly namespace: string;
  /** Hosts that find no room. */
  readonly hosts: readonly string[];
  /** Hosts that the Secret names. */
  readonly stored: number;
  /** The program may not list the pods of the namespace, so it cannot tell which hosts may leave. */
  readonly forbidden: boolean;
}

export interface HousekeepingParts {
  readonly view: SecretView;
  readonly secrets: Pick<PullSecrets, 'ensure'>;
  readonly missing: MissingHosts;
  readonly unstored: UnstoredHosts;
  readonly pods: Pick<PodsInUse, 'hostsOf' | 'reportOf' | 'isForbidden'>;
  /** Whether the operator configured the host (`provisioning.registries`). */
  isConfigured(host: string): boolean;
  /** See forgetHosts. Rejects with ForeignSecretError or KubeError. */
  forget(namespace: string): Promise<void>;
  readonly forgetAfterMs: number;
  /** Tells this replica from the others. */
  readonly replica: string;
  /** The wall clock, and a monotonic one, in ms. */
  now(): { readonly wall: number; readonly steady: number };
  /** Gives a number in [0, 1). */
  random(): number;
  readonly tickMs: number;
  readonly log: Log;
  /** Called at most once an hour for each namespace. */
  onFull(secret: FullSecret): void;
}

/** Between two searches for hosts to forget, ms. */
const searchMs = 60_000;
/** After a look at a Secret with hosts to forget, it is left alone for this long, ms: a pod names them, most likely. */
const restMs = 3_600_000;
const hourMs = 3_600_000;

/**
 * Namespaces whose pods are looked at, or in which hosts are forgotten, at the same time: nothing here is urgent. One in
 * which calls hang delays no other.
 */
const looks = { concurrency: 4, patienceMs: 5_000, maxDetached: 16 };
const forgetting = { ...looks, concurrency: 1 };

/** Runs in every replica; one that is slower finds nothing left to do. */
export class Housekeeping {
  readonly #parts: HousekeepingParts;
  /** Namespace → when it may be looked at again for hosts to forget, ms of the monotonic clock. */
  readonly #rest = new Map<string, number>();
  /** Namespace → when its full Secret was reported, ms of the monotonic clock. */
  readonly #reported = new Map<string, number>();
  readonly #unstoredLooks: UnstoredLooks;
  readonly #looks = patientLimit(looks);
  readonly #forgetting = patientLimit(forgetting);
  /** What and namespace → what has begun, or waits to. */
  readonly #inFlight = new Map<string, Promise<void>>();
  #nextSearchAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
    this.#unstoredLooks = new UnstoredLooks({ ...parts, steady: () => parts.now().steady });
  }

  start(): void {
    this.#timer = setInterval(() => this.tick(), this.#parts.tickMs).unref();
  }

  /** Begins nothing any more, and resolves when nothing is in flight. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.settled();
  }

  /** Resolves when nothing is in flight. */
  async settled(): Promise<void> {
    await Promise.all(this.#inFlight.values());
  }

  /** Begins what is due and not in flight. */
  tick(): void {
    if (this.#stopped) {
      return;
    }
    const { missing, now, forget } = this.#parts;
    this.#forgetUnstored();
    for (const namespace of missing.due(now().steady)) {
      this.#begin(`look ${namespace}`, namespace, this.#looks, () => this.#lookAgain(namespace));
    }
    for (const namespace of this.#unstoredLooks.due()) {
      this.#begin(`pods ${namespace}`, namespace, this.#looks, () => this.#unstoredLooks.look(namespace));
    }
    const { steady } = now();
    if (steady >= this.#nextSearchAt) {
      this.#nextSearchAt = steady + searchMs;
      for (const namespace of this.#namespacesToForgetIn()) {
        this.#rest.set(namespace, steady + restMs);
        this.#begin(`forget ${namespace}`, namespace, this.#forgetting, () => forget(namespace));
      }
    }
  }

  /** Starts something in a namespace, unless it is in flight there. A failure affects no other namespace. */
  #begin(id: string, namespace: string, limit: PatientLimit, act: () => Promise<void>): void {
    if (this.#inFlight.has(id)) {
      return;
    }
    const done = limit
      .run(async () => (this.#stopped ? undefined : await act()))
      .catch((error: unknown) => {
        this.#parts.log.warn({ namespace, err: error }, 'failed to update the hosts of a pull Secret');
      })
      .finally(() => this.#inFlight.delete(id));
    this.#inFlight.set(id, done);
  }

  /** Another replica may have stored them, or nothing has wanted them for long. */
  #forgetUnstored(): void {
    const { unstored, view, forgetAfterMs } = this.#parts;
    for (const namespace of unstored.all().keys()) {
      const secret = view.get(namespace);
      if (secret?.ours === true) {
        unstored.remove(namespace, secret.hosts.keys());
      }
    }
    unstored.expire(forgetAfterMs);
  }

  async #lookAgain(namespace: string): Promise<void> {
    const { missing, pods, secrets, view, now, random } = this.#parts;
    const inUse = await pods.hostsOf(namespace);
    const wanted = missing.wanted(namespace, inUse);
    const shortfalls = wanted.length === 0 ? [] : await secrets.ensure(namespace, registriesOf(wanted));
    const stored = view.get(namespace)?.hosts;
    missing.looked(namespace, { inUse, stored, now: now().steady, random: random() });
    const full = shortfalls.filter(({ code }) => code === 'secret-full').map(({ host }) => host);
    if (full.length > 0) {
      this.#reportFull(namespace, full, stored?.size ?? 0);
    }
  }

  #reportFull(namespace: string, hosts: readonly string[], stored: number): void {
    const { pods, onFull, now } = this.#parts;
    const { steady } = now();
    for (const [other, at] of this.#reported) {
      if (steady - at >= hourMs) {
        this.#reported.delete(other);
      }
    }
    if (!this.#reported.has(namespace)) {
      this.#reported.set(namespace, steady);
      onFull({ namespace, hosts, stored, forbidden: pods.isForbidden(namespace) });
    }
  }

  #namespacesToForgetIn(): string[] {
    const { view, forgetAfterMs, replica, now } = this.#parts;
    const { wall, steady } = now();
    const due: string[] = [];
    for (const [namespace, until] of this.#rest) {
      if (until <= steady) {
        this.#rest.delete(namespace);
      }
    }
    for (const [namespace, secret] of view.entries()) {
      if (
        !this.#rest.has(namespace) &&
        isForgettable(namespace, secret, { forgetAfterMs, replica, now: wall })
      ) {
        due.push(namespace);
      }
    }
    return due;
  }
}
