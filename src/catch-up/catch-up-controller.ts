// Finds pending pods that admission missed: ensures their tokens, reports those without a reference, and deletes some of them.
import { setImmediate as yieldToEventLoop } from 'node:timers/promises';
import type { Registry, RegistryResolver } from '../ecr/registry.ts';
import { type ClockReading, isUnexpired } from '../ecr/token-policy.ts';
import { KubeError } from '../kube/errors.ts';
import type { PullSecrets } from '../pull-secrets/ensure.ts';
import type { SecretCache } from '../pull-secrets/secret-cache.ts';
import type { Log } from '../telemetry/log.ts';
import { createRateLimit } from '../util/rate-limit.ts';
import { createSlotLimit } from '../util/slot-limit.ts';
import { replacementMs } from './eviction-policy.ts';
import { FindingCollector, type NeededTokens, type TokenFailure } from './finding-collector.ts';
import type { MissedPodReporter } from './missed-pod-reports.ts';
import type { PodEvictions } from './pod-evictions.ts';
import type { PodRules } from './pod-findings.ts';
import type { WaitingPodReporter } from './waiting-pod-reports.ts';

export interface CatchUpDependencies {
  readonly secretCache: Pick<SecretCache, 'get'>;
  readonly secrets: Pick<PullSecrets, 'ensure'>;
  readonly rules: Omit<PodRules, 'lacksToken'>;
  readonly resolveRegistry: RegistryResolver;
  /** Calls `onPage` with the pending pods of the cluster, page by page, and waits for it. Rejects with KubeError. */
  listPendingPods(onPage: (pods: readonly unknown[]) => Promise<void>, signal: AbortSignal): Promise<void>;
  /** The namespaces whose pods are handled; undefined: all. Rejects with KubeError. */
  readonly listSelectedNamespaces: ((signal: AbortSignal) => Promise<ReadonlySet<string>>) | undefined;
  /** Whether the cache of Secrets is current. Nothing is done while it is not. */
  isInSync(): boolean;
  readonly reporter: Pick<MissedPodReporter, 'report'>;
  readonly waitingReporter: Pick<WaitingPodReporter, 'report'>;
  /** Why hosts have no valid token, by namespace and host: those whose waiting pods get an Event. */
  listTokenFailures(): ReadonlyMap<string, ReadonlyMap<string, TokenFailure>>;
  /** Deletes pods without a reference; undefined: none is deleted. */
  readonly evictions: Pick<PodEvictions, 'start' | 'stop' | 'waitUntilIdle'> | undefined;
  /** Interval between two rounds, in ms. */
  readonly intervalMs: number;
  /** Age below which a pod without a reference may still start by itself, in ms. */
  readonly minimumAgeMs: number;
  /** The wall clock, and a monotonic one. */
  now(): ClockReading;
  /** Returns a number in [0, 1). */
  random(): number;
  /** Interval between two ticks, in ms. */
  readonly tickMs: number;
  /** Counts a round by outcome: `completed`, or the code of the error. */
  countRound(outcome: string): void;
  readonly log: Log;
}

/** Maximum delay of the first round, in ms, so that replicas that start together do not list together. */
const startJitterMs = 2_000;

/** The part of the interval by which rounds are randomly early or late. */
const jitterFraction = 0.1;

/** Delay of the next round after one that left something to do, in ms: for pods to become old enough, or to be replaced. */
const recheckMs = replacementMs + 1_000;

/** Delay of the next round after one that failed for a reason that may pass, in ms. */
const retryMs = 15_000;

/**
 * Delay of a requested round by its reason, in ms: one round serves several requests, and renewal notices within ten seconds that
 * the host of a pod fails.
 */
const requestDelayMs = { 'failing-host': 2_000, 'admitted-pod': 15_000 } as const;

/** Minimum time from the start of a round to that of a requested one, in ms: it lists all pending pods, and users cause requests. */
const requestIntervalMs = 60_000;

/** Bounds the namespaces that are ensured at a time. One whose calls hang delays the others by at most `maxWaitMs`. */
const ensureLimits = { concurrency: 8, maxWaitMs: 3_000, maxDetached: 64 };

/** Namespaces that are ensured per second, so that a start with thousands of waiting pods does not flood the API server. */
const ensuresPerSecond = 50;

/** How long pods are examined before other work can run, in ms. One pod can name thousands of images. */
const sliceMs = 10;

/** A round, and its results for the log. */
interface Round {
  /** Pods that were listed. */
  podCount: number;
  /** Times that the tokens of a namespace were ensured. */
  ensuredNamespaces: number;
  /** Times that a token was missing after that. */
  incompleteNamespaces: number;
  /** What the round has started. None of these rejects. */
  readonly tasks: Promise<void>[];
  /** The namespaces whose pods are handled, once they have been listed. */
  selected: Promise<ReadonlySet<string>> | undefined;
  /** Why the namespaces could not be listed. */
  selectionError: unknown;
}

/**
 * Looks at all pending pods at the start, after the cache was out of sync, and in intervals, so that a restart forgets nothing
 * and a pod that no replica saw does not wait unnoticed. Runs in every replica; a slower replica finds nothing left to do.
 */
export class CatchUpController {
  readonly #dependencies: CatchUpDependencies;
  readonly #abort = new AbortController();
  readonly #ensureLimit = createSlotLimit(ensureLimits);
  readonly #waitForRateLimit: () => Promise<void>;
  /** Namespace → the round whose pods are being ensured there, and the registries that follow. */
  readonly #ensuring = new Map<string, { readonly round: Round; readonly next: Registry[] }>();
  /** Tasks of all rounds, waiting or in flight. */
  readonly #tasks = new Set<Promise<void>>();
  #wasInSync = false;
  #nextAt = Number.NEGATIVE_INFINITY;
  /** When the last round started, in ms of the monotonic clock. */
  #startedAt = Number.NEGATIVE_INFINITY;
  /** When the requested round starts, in ms of the monotonic clock; infinite: none was requested. */
  #requestedAt = Number.POSITIVE_INFINITY;
  #round: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isForbidden = false;
  #uninjectedPods = 0;

  constructor(dependencies: CatchUpDependencies) {
    this.#dependencies = dependencies;
    this.#waitForRateLimit = createRateLimit(ensuresPerSecond, () => dependencies.now().monotonicMs);
  }

  start(): void {
    this.#timer = setInterval(() => this.tick(), this.#dependencies.tickMs).unref();
  }

  /** Stops starting anything, and resolves when nothing is in flight. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#abort.abort();
    await Promise.all([this.#dependencies.evictions?.stop(), this.waitUntilIdle()]);
  }

  /** Resolves when the round has ended, and all that it started. */
  async waitUntilIdle(): Promise<void> {
    await this.#round;
    while (this.#tasks.size > 0) {
      await Promise.all(this.#tasks);
    }
    await this.#dependencies.evictions?.waitUntilIdle();
  }

  /** Number of pods without a reference that the last complete round found, without young ones. */
  get uninjectedPods(): number {
    return this.#uninjectedPods;
  }

  /**
   * Starts a round soon.
   * @param reason a host has come to fail, or a pod was admitted without a token
   */
  requestRound(reason: keyof typeof requestDelayMs): void {
    const { monotonicMs } = this.#dependencies.now();
    const at = Math.max(monotonicMs + requestDelayMs[reason], this.#startedAt + requestIntervalMs);
    this.#requestedAt = Math.min(this.#requestedAt, at);
  }

  /** Starts a round if one is due. */
  tick(): void {
    const { isInSync, now, random } = this.#dependencies;
    const { monotonicMs } = now();
    if (!isInSync()) {
      this.#wasInSync = false;
      return;
    }
    if (!this.#wasInSync) {
      this.#wasInSync = true;
      this.#nextAt = monotonicMs + random() * startJitterMs;
    }
    const dueAt = Math.min(this.#nextAt, this.#requestedAt);
    if (this.#round !== undefined || this.#abort.signal.aborted || monotonicMs < dueAt) {
      return;
    }
    this.#startedAt = monotonicMs;
    this.#nextAt = Number.POSITIVE_INFINITY;
    this.#requestedAt = Number.POSITIVE_INFINITY;
    this.#round = this.#runRound()
      .then((delayMs) => {
        // Earlier if the cache was out of sync during the round.
        this.#nextAt = Math.min(this.#nextAt, now().monotonicMs + delayMs);
      })
      .finally(() => {
        this.#round = undefined;
      });
  }

  /** @returns the delay of the next round, in ms. Never rejects. */
  async #runRound(): Promise<number> {
    const { intervalMs, random, countRound } = this.#dependencies;
    const nextMs = intervalMs * (1 - jitterFraction + 2 * jitterFraction * random());
    try {
      const isUnfinished = await this.#catchUp();
      this.#isForbidden = false;
      countRound('completed');
      return isUnfinished ? Math.min(recheckMs, nextMs) : nextMs;
    } catch (error) {
      if (this.#abort.signal.aborted) {
        return nextMs;
      }
      const code = error instanceof KubeError ? error.code : 'internal-error';
      countRound(code);
      this.#logFailure(error, code === 'forbidden');
      return code === 'forbidden' ? nextMs : Math.min(retryMs, nextMs);
    }
  }

  /** @returns whether the next round should follow soon */
  async #catchUp(): Promise<boolean> {
    const { listPendingPods, reporter, waitingReporter, evictions } = this.#dependencies;
    const findings = this.#createCollector();
    const round: Round = {
      ...{ podCount: 0, ensuredNamespaces: 0, incompleteNamespaces: 0, tasks: [] },
      ...{ selected: undefined, selectionError: undefined },
    };
    await listPendingPods(async (pods) => {
      round.podCount += pods.length;
      await addInSlices(pods, findings);
      this.#startTask(round, this.#ensureSelected(findings.takeNeededTokens(), round));
    }, this.#abort.signal);
    const uninjected = await this.#select(findings.uninjected(), round);
    const pods = [...uninjected.values()].flatMap((ofNamespace) => ofNamespace.pods);
    this.#uninjectedPods = [...uninjected.values()].reduce((sum, { count }) => sum + count, 0);
    reporter.report(uninjected);
    waitingReporter.report(await this.#select(findings.waiting(), round));
    const hasEvictions = evictions?.start(pods) === true;
    void this.#logRound(round, this.#uninjectedPods);
    if (round.selectionError !== undefined) {
      throw round.selectionError;
    }
    return hasEvictions || pods.some(({ isYoung }) => isYoung);
  }

  #createCollector(): FindingCollector {
    const { rules, resolveRegistry, minimumAgeMs, now, secretCache, listTokenFailures } = this.#dependencies;
    let failures: ReturnType<typeof listTokenFailures> | undefined; // read only if a pod waits
    const findFailure = (namespace: string, host: string) => {
      failures ??= listTokenFailures();
      return failures.get(namespace)?.get(host);
    };
    const lacksToken = (namespace: string, { host }: Registry) => {
      const secret = secretCache.get(namespace);
      const expiresAt = secret?.isManaged === true ? secret.hosts.get(host)?.expiresAt : undefined;
      return expiresAt === undefined || !isUnexpired(expiresAt, now().wallMs);
    };
    return new FindingCollector({
      rules: { ...rules, lacksToken },
      resolveRegistry,
      findFailure,
      minimumAgeMs,
      now: () => now().wallMs,
    });
  }

  /** Keeps the entries of selected namespaces. Lists the namespaces once in a round, and only if there is an entry. */
  async #select<T>(byNamespace: ReadonlyMap<string, T>, round: Round): Promise<ReadonlyMap<string, T>> {
    const { listSelectedNamespaces } = this.#dependencies;
    if (listSelectedNamespaces === undefined || byNamespace.size === 0) {
      return byNamespace;
    }
    round.selected ??= listSelectedNamespaces(this.#abort.signal);
    const selected = await round.selected;
    return new Map([...byNamespace].filter(([namespace]) => selected.has(namespace)));
  }

  /** Ensures the tokens of the selected namespaces. */
  async #ensureSelected(needed: NeededTokens, round: Round): Promise<void> {
    try {
      for (const [namespace, registries] of await this.#select(needed, round)) {
        const ensuring = this.#ensuring.get(namespace);
        if (ensuring === undefined) {
          this.#ensuring.set(namespace, { round, next: [] });
          this.#startEnsuring(namespace, registries, round);
        } else if (ensuring.round === round) {
          ensuring.next.push(...registries);
        }
      }
    } catch (error) {
      round.selectionError = error;
    }
  }

  #startEnsuring(namespace: string, registries: readonly Registry[], round: Round): void {
    const task = this.#ensureLimit.run(() => this.#ensure(namespace, registries, round));
    this.#startTask(round, task);
  }

  /** Continues behind the other namespaces if pods on later pages need more. */
  async #ensure(namespace: string, registries: readonly Registry[], round: Round): Promise<void> {
    const { secrets, log } = this.#dependencies;
    try {
      await this.#waitForRateLimit();
      if (!this.#abort.signal.aborted) {
        const unavailable = await secrets.ensure(namespace, registries);
        round[unavailable.length === 0 ? 'ensuredNamespaces' : 'incompleteNamespaces'] += 1;
      }
    } catch (error) {
      log.error({ namespace, err: error }, 'failed to ensure a pull Secret');
    }
    const next = this.#ensuring.get(namespace)?.next.splice(0) ?? [];
    if (next.length > 0) {
      this.#startEnsuring(namespace, next, round);
    } else {
      this.#ensuring.delete(namespace);
    }
  }

  #startTask(round: Round, task: Promise<void>): void {
    const done = task.finally(() => this.#tasks.delete(done));
    this.#tasks.add(done);
    round.tasks.push(done);
  }

  /** Logs a round when its tokens are ensured. */
  async #logRound(round: Round, uninjectedPods: number): Promise<void> {
    for (const task of round.tasks) {
      await task;
    }
    const { podCount, ensuredNamespaces, incompleteNamespaces } = round;
    const level = ensuredNamespaces + incompleteNamespaces + uninjectedPods > 0 ? 'info' : 'debug';
    this.#dependencies.log[level](
      { podCount, ensuredNamespaces, incompleteNamespaces, uninjectedPods },
      'checked pending pods',
    );
  }

  /** A missing permission is logged once, because it lasts until the operator changes something. */
  #logFailure(error: unknown, isForbidden: boolean): void {
    const { log } = this.#dependencies;
    if (!isForbidden) {
      log.warn({ err: error }, 'failed to check pending pods; will retry');
    } else if (!this.#isForbidden) {
      log.warn({ err: error }, 'not allowed to check pending pods; pods that were missed are not found');
    }
    this.#isForbidden = isForbidden;
  }
}

async function addInSlices(pods: readonly unknown[], findings: FindingCollector): Promise<void> {
  let sliceStartedAt = performance.now();
  for (const pod of pods) {
    findings.add(pod);
    if (performance.now() - sliceStartedAt >= sliceMs) {
      await yieldToEventLoop();
      sliceStartedAt = performance.now();
    }
  }
}
