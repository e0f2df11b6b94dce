import { setImmediate as yieldToEventLoop } from 'node:timers/promises';
import { parseEcrHosts, type Registry } from '../ecr/registry.ts';
import type { ClockReading } from '../ecr/token-policy.ts';
import type { PullSecrets } from '../pull-secrets/ensure.ts';
import type { SecretCache } from '../pull-secrets/secret-cache.ts';
import { isGone, staleHost, type UnavailableHost } from '../pull-secrets/unavailable-host.ts';
import type { UnstoredHosts } from '../pull-secrets/unstored-hosts.ts';
import type { Log } from '../telemetry/log.ts';
import { AttemptTracker, type FailureReport, FailureTracker } from './failures.ts';
import type { Due, DueKind, Overdue, Plan, PlanRules } from './plan-types.ts';
import { planInSteps, planNamespace } from './renewal-plan.ts';
import { RenewalQueue } from './renewal-queue.ts';

export interface RenewalDependencies {
  readonly secretCache: SecretCache;
  readonly secrets: Pick<PullSecrets, 'renew'>;
  /** Hosts whose write failed; none, if not given. */
  readonly unstored?: UnstoredHosts | undefined;
  readonly rules: Omit<PlanRules, 'namespaceFailure' | 'lastStartAt'>;
  now(): ClockReading;
  /** Gives a number in [0, 1). */
  random(): number;
  /** Renewals of each kind that are in flight at a time, and that start in a second. */
  readonly concurrency: number;
  readonly writesPerSecond: number;
  /** How long a renewal holds its slot, in ms; the queue's own default if not given. */
  readonly maxWaitMs?: number;
  /** How often to look at the clock, in ms. */
  readonly tickMs: number;
  readonly log: Log;
  /** Counts a renewal by the reason and by how it ended: `renewed`, or the code of what is missing. */
  countRenewal(reason: Due['reason'], outcome: string): void;
  /**
   * Told after each plan what people should hear of.
   * @param onUnsent called for a failing host whose Event was not sent, so that it is reported again
   */
  onFailureReport(tellings: FailureReport, onUnsent: (one: Overdue) => void): void;
}

/** How things stand, for metrics. */
export interface RenewalState {
  /** Namespaces that are due now, or being renewed. */
  readonly due: number;
  readonly overdue: readonly Overdue[];
}

/** Nothing is planned anew while nothing has changed, but for this long, ms: tokens come and fail behind our back. */
const maxPlanAgeMs = 10_000;

/**
 * How long a plan holds for each namespace that is still to be renewed, ms, whatever has changed: to plan 10,000 takes
 * 10 to 40 ms and some MB of memory, and whether one is still due is looked up anyway when its turn comes.
 */
const planAgePerPendingMs = 0.5;

/** Namespaces in which a renewal started within this time come after others, ms. */
const recentStartMs = 600_000;

/** The wall clock and the steady one may differ by this much between two looks before that counts as a jump, ms. */
const clockJumpMs = 5_000;

/**
 * Renews the pull Secrets of all namespaces, for ever. There is no leader: each replica runs this, a replica that was
 * slower sees on its watch that there is nothing left to do, and no namespace waits for another.
 */
export class RenewalController {
  readonly #dependencies: RenewalDependencies;
  readonly #rules: PlanRules;
  readonly #attempts = new AttemptTracker();
  readonly #failures = new FailureTracker();
  /** Namespace → when a renewal started in it, by the monotonic clock in ms; only those of the last minutes. */
  readonly #lastStartAt = new Map<string, number>();
  readonly #queues: Readonly<Record<DueKind, RenewalQueue>>;
  #plan: Plan = { due: [], overdue: [], nextAt: Number.NEGATIVE_INFINITY };
  #plannedFor = { changes: -1, wallMs: 0, monotonicMs: Number.NEGATIVE_INFINITY };
  #lastClock: ClockReading | undefined;
  #timer: NodeJS.Timeout | undefined;
  #planning: Promise<void> | undefined;

  constructor(parts: RenewalDependencies) {
    this.#dependencies = parts;
    const namespaceFailure: PlanRules['namespaceFailure'] = (namespace, kind) =>
      this.#attempts.get(namespace, kind);
    this.#rules = {
      ...parts.rules,
      namespaceFailure,
      lastStartAt: (namespace) => this.#lastStartAt.get(namespace),
    };
    this.#queues = { valid: this.#createQueue(), missing: this.#createQueue() };
  }

  /** Begins to look at the clock. */
  start(): void {
    this.#timer = setInterval(() => this.tick(), this.#dependencies.tickMs).unref();
  }

  /** Starts nothing any more, and resolves when nothing is in flight. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([this.#planning, ...this.#allQueues().map((queue) => queue.stop())]);
  }

  state(): RenewalState {
    const due = this.#allQueues().reduce((sum, queue) => sum + queue.size, 0);
    return { due, overdue: this.#plan.overdue };
  }

  /** Resolves when all that was due at the last look is done or has failed. */
  async waitUntilIdle(): Promise<void> {
    while (this.#planning !== undefined || this.#allQueues().some((queue) => queue.isBusy)) {
      await Promise.all([this.#planning, ...this.#allQueues().map((queue) => queue.waitUntilIdle())]);
    }
  }

  /** Looks at the clock once, and begins what is due. */
  tick(): void {
    const now = this.#dependencies.now();
    this.#detectClockJump(now);
    this.#lastClock = now;
    if (this.#planning !== undefined || this.#isPlanCurrent(now)) {
      return;
    }
    this.#plannedFor = { changes: this.#countChanges(), ...now };
    this.#planning = this.#replan(now).finally(() => {
      this.#planning = undefined;
    });
  }

  /** What is under way or waits for its turn goes on meanwhile. */
  async #replan(now: ClockReading): Promise<void> {
    const { secretCache, unstored } = this.#dependencies;
    for (const [namespace, at] of this.#lastStartAt) {
      if (now.monotonicMs - at > recentStartMs) {
        this.#lastStartAt.delete(namespace);
      }
    }
    const state = {
      secrets: secretCache.entries(),
      deleted: secretCache.deletedSecrets(),
      unstored: unstored?.byNamespace(),
    };
    const steps = planInSteps(state, now, this.#rules);
    let step = steps.next();
    while (step.done !== true) {
      await yieldToEventLoop();
      step = steps.next();
    }
    this.#plan = step.value;
    this.#attempts.forgetResolved(step.value, now.wallMs);
    const report = this.#failures.update(step.value.overdue, now.wallMs);
    this.#dependencies.onFailureReport(report, (overdue) => this.#failures.markUnreported(overdue));
    for (const kind of ['valid', 'missing'] as const) {
      this.#queues[kind].replace(step.value.due.filter((due) => due.kind === kind));
    }
  }

  #isPlanCurrent({ wallMs, monotonicMs }: ClockReading): boolean {
    const { changes, wallMs: plannedWallMs, monotonicMs: plannedMonotonicMs } = this.#plannedFor;
    const planAgeMs = monotonicMs - plannedMonotonicMs;
    const isUnchanged = this.#countChanges() === changes && wallMs < this.#plan.nextAt;
    const waiting = this.#allQueues().reduce((sum, queue) => sum + queue.waiting, 0);
    const isBusy = planAgeMs < waiting * planAgePerPendingMs;
    return plannedWallMs <= wallMs && planAgeMs < maxPlanAgeMs && (isUnchanged || isBusy);
  }

  /** Grows with every change of what is planned. */
  #countChanges(): number {
    return this.#dependencies.secretCache.changeCount + (this.#dependencies.unstored?.changeCount ?? 0);
  }

  #detectClockJump({ wallMs, monotonicMs }: ClockReading): void {
    const jumpedMs =
      this.#lastClock === undefined
        ? 0
        : wallMs - this.#lastClock.wallMs - (monotonicMs - this.#lastClock.monotonicMs);
    if (Math.abs(jumpedMs) > clockJumpMs) {
      const seconds = Math.round(jumpedMs / 1000);
      this.#dependencies.log.warn(
        { seconds },
        'the clock was set, or the machine was suspended; all is planned anew',
      );
      this.#plannedFor.monotonicMs = Number.NEGATIVE_INFINITY;
    }
  }

  #createQueue(): RenewalQueue {
    return new RenewalQueue({
      concurrency: this.#dependencies.concurrency,
      perSecond: this.#dependencies.writesPerSecond,
      maxWaitMs: this.#dependencies.maxWaitMs,
      stillDue: (planned) => this.#stillDue(planned),
      run: (due) => this.#renew(due).catch((error: unknown) => this.#handleUnexpectedError(due, error)),
    });
  }

  #allQueues(): RenewalQueue[] {
    return Object.values(this.#queues);
  }

  async #renew(due: Due): Promise<void> {
    const { namespace } = due;
    this.#lastStartAt.set(namespace, this.#dependencies.now().monotonicMs);
    const registries = parseEcrHosts(due.hosts);
    const unavailable = [...(await this.#dependencies.secrets.renew(namespace, registries))];
    if (unavailable.length === 0 && this.#stillDue(due) !== undefined) {
      // there was nothing better to be had: a clock was set back, or somebody is at the Secret again
      unavailable.push(...due.hosts.map(staleHost));
    }
    const { wallMs } = this.#dependencies.now();
    const isNamespaceFailure = ({ host, cause }: UnavailableHost) =>
      cause === 'write' || this.#rules.regionFailure(host) === undefined;
    const namespaceFailures = unavailable.filter(isNamespaceFailure);
    this.#attempts.record(
      due,
      namespaceFailures,
      wallMs,
      this.#dependencies.random(),
      this.#findShortestLifetime(due),
    );
    if (unavailable.some(({ code }) => isGone(code))) {
      this.#forgetNamespace(namespace);
    }
    this.#reportResult(due, registries, unavailable);
  }

  /** The shortest lifetime of the tokens that are stored for the hosts, in ms; 0 where there is none. */
  #findShortestLifetime({ namespace, hosts }: Due): number {
    const stored = this.#dependencies.secretCache.get(namespace)?.hosts;
    const lifetimes = hosts.flatMap((host) => {
      const lifetime = stored?.get(host);
      return lifetime === undefined ? [] : [lifetime.expiresAt - lifetime.issuedAt];
    });
    return lifetimes.length === 0 ? 0 : Math.min(...lifetimes);
  }

  /** The namespace is gone. What is held against it goes with its Secret, of which the watch may not have told yet. */
  #forgetNamespace(namespace: string): void {
    const { secretCache } = this.#dependencies;
    secretCache.forget(namespace);
    if (secretCache.get(namespace) === undefined) {
      this.#attempts.forget(namespace);
    }
  }

  /** A bug must neither stop the others nor be tried again at every look. */
  #handleUnexpectedError(due: Due, error: unknown): void {
    const { namespace } = due;
    const unavailable: UnavailableHost = {
      host: due.hosts[0] ?? '',
      code: 'internal-error',
      text: 'internal error',
    };
    this.#attempts.record(
      due,
      [unavailable],
      this.#dependencies.now().wallMs,
      this.#dependencies.random(),
      this.#findShortestLifetime(due),
    );
    this.#dependencies.countRenewal(due.reason, unavailable.code);
    this.#dependencies.log.error({ namespace, err: error }, 'renewal failed because of a bug');
  }

  #stillDue({ namespace, kind }: Due): Due | undefined {
    const { secretCache, unstored, now } = this.#dependencies;
    const state = {
      secret: secretCache.get(namespace),
      deleted: secretCache.deletedSecrets().get(namespace),
      unstored: unstored?.byNamespace().get(namespace),
    };
    return planNamespace(namespace, state, now(), this.#rules).due.find((due) => due.kind === kind);
  }

  #reportResult(
    { namespace, reason }: Due,
    registries: readonly Registry[],
    unavailable: readonly UnavailableHost[],
  ): void {
    const { countRenewal, log } = this.#dependencies;
    const [first] = unavailable;
    countRenewal(reason, first?.code ?? 'renewed');
    const hosts = registries.length - unavailable.length;
    if (first === undefined) {
      log.info({ namespace, reason, hosts }, 'pull Secret renewed');
    } else {
      const failures = unavailable.map(({ host, code }) => ({ host, code }));
      const cause = first.message ?? first.text;
      log.warn({ namespace, reason, hosts, missing: failures, cause }, 'pull Secret not renewed');
    }
  }
}
