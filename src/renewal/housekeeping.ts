// Removes hosts from Secrets that no pod needs any more, and adds those that found no room before.
import { setImmediate as othersHadTheirTurn } from 'node:timers/promises';
import pLimit from 'p-limit';
import { registriesOf } from '../images/registry.ts';
import type { PullSecrets } from '../secrets/ensure.ts';
import type { MissingHosts } from '../secrets/missing-hosts.ts';
import type { PodsInUse } from '../secrets/pods-in-use.ts';
import type { SecretView } from '../secrets/view.ts';
import type { Log } from '../telemetry/log.ts';
import { isForgettable } from './forgettable.ts';

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
  readonly pods: Pick<PodsInUse, 'hostsOf' | 'isForbidden'>;
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

/** Namespaces that are looked at again at the same time. */
const concurrency = 4;

/** Runs in every replica; one that is slower finds nothing left to do. */
export class Housekeeping {
  readonly #parts: HousekeepingParts;
  /** Namespace → when it may be looked at again for hosts to forget, ms of the monotonic clock. */
  readonly #rest = new Map<string, number>();
  /** Namespace → when its full Secret was reported, ms of the monotonic clock. */
  readonly #reported = new Map<string, number>();
  #nextSearchAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  #stopped = false;

  constructor(parts: HousekeepingParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#timer = setInterval(() => this.tick(), this.#parts.tickMs).unref();
  }

  /** Begins nothing any more, and resolves when nothing is in flight. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await this.#running;
  }

  /** Resolves when what the last tick began has ended. */
  async settled(): Promise<void> {
    await this.#running;
  }

  /** Begins what is due, unless the last round is still in flight. */
  tick(): void {
    if (this.#stopped) {
      return;
    }
    this.#running ??= this.#round().finally(() => {
      this.#running = undefined;
    });
  }

  /** A few namespaces at a time: nothing here is urgent, and each one is bounded in time. */
  async #round(): Promise<void> {
    const { missing, now } = this.#parts;
    const limit = pLimit(concurrency);
    const due = missing.due(now().steady);
    await Promise.all(
      due.map((namespace) => limit(() => this.#alone(namespace, () => this.#lookAgain(namespace)))),
    );
    const { steady } = now();
    if (steady < this.#nextSearchAt) {
      return;
    }
    this.#nextSearchAt = steady + searchMs;
    for (const namespace of this.#namespacesToForgetIn()) {
      this.#rest.set(namespace, now().steady + restMs);
      await this.#alone(namespace, () => this.#parts.forget(namespace));
    }
  }

  /** A failure in one namespace keeps no other from its turn. */
  async #alone(namespace: string, act: () => Promise<void>): Promise<void> {
    if (this.#stopped) {
      return;
    }
    try {
      await act();
    } catch (error) {
      this.#parts.log.warn({ namespace, err: error }, 'failed to update the hosts of a pull Secret');
    }
    await othersHadTheirTurn();
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
