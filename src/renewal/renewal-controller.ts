// Renews the pull Secrets of all namespaces: plans on each tick and runs what is due.
import { setImmediate as yieldToEventLoop } from 'node:timers/promises';
import { type Registry, type RegistryResolver, resolveRegistries } from '../ecr/registry.ts';
import type { ClockReading } from '../ecr/token-policy.ts';
import type { PullSecrets } from '../pull-secrets/ensure.ts';
import type { SecretCache } from '../pull-secrets/secret-cache.ts';
import {
  isGone,
  staleHost,
  type UnavailableHost,
  unmanagedSecretCode,
} from '../pull-secrets/unavailable-host.ts';
import type { UnstoredHosts } from '../pull-secrets/unstored-hosts.ts';
import type { Log } from '../telemetry/log.ts';
import { type FailureReport, FailureTracker } from './failure-reports.ts';
import type { Due, DueKind, Overdue, Plan, PlanRules } from './plan-types.ts';
import { AttemptTracker } from './renewal-attempts.ts';
import { planInSteps, planNamespace } from './renewal-plan.ts';
import { RenewalQueue } from './renewal-queue.ts';
import { emptyPlan } from './unstored-plan.ts';

export interface RenewalDependencies {
  readonly secretCache: SecretCache;
  readonly secrets: Pick<PullSecrets, 'renew'>;
  readonly resolveRegistry: RegistryResolver;
  /** Hosts that could not be stored. */
  readonly unstored?: UnstoredHosts | undefined;
  readonly rules: Omit<PlanRules, 'namespaceFailure' | 'lastStartAt'>;
  /** Increases whenever the identities of a namespace may have changed; constant if not given. */
  identityChangeCount?(): number;
  now(): ClockReading;
  /** Returns a number in [0, 1). */
  random(): number;
  /** Renewals of each kind in flight at the same time. */
  readonly concurrency: number;
  /** Renewals of each kind started per second. */
  readonly writesPerSecond: number;
  /** How long a renewal holds its slot, in ms; the default of the queue if not given. */
  readonly maxWaitMs?: number;
  /** Interval between two ticks, in ms. */
  readonly tickMs: number;
  readonly log: Log;
  /** Counts a renewal by reason and outcome: `renewed`, or the code of the first failure. */
  countRenewal(reason: Due['reason'], outcome: string): void;
  /**
   * Called after each plan with what to report.
   * @param onUnsent called for a failing host whose Event was not sent, so that it is reported again
   */
  onFailureReport(report: FailureReport, onUnsent: (host: Overdue) => void): void;
}

/** The state of renewal, for metrics. */
export interface RenewalState {
  /** Renewals that are due or in flight. */
  readonly due: number;
  readonly overdue: readonly Overdue[];
  /** How long the renewal that is most overdue has been due, in ms; 0 if none is. */
  readonly latenessMs: number;
  /** Namespaces in which an unmanaged Secret prevents tokens from being stored. */
  readonly unmanagedSecrets: number;
}

/** A plan is replaced at this age even if no Secret has changed, in ms, because token calls succeed and fail meanwhile. */
const maxPlanAgeMs = 10_000;

/**
 * Minimum age of a plan before it is replaced, in ms for each pending renewal, because planning 10,000 namespaces takes
 * 10 to 40 ms and up to 25 MB of memory. An older plan does no harm: whether a renewal is still due is checked when it starts.
 */
const planAgePerPendingMs = 1;

/** Namespaces in which a renewal has started within this time come after the others, in ms. */
const recentStartMs = 600_000;

/** A difference between the wall clock and the monotonic clock above this, between two ticks, is a clock jump, in ms. */
const clockJumpMs = 5_000;

/**
 * Renews the pull Secrets of all namespaces until stopped. There is no leader election: each replica runs this, and a slower
 * replica learns from its watch that there is nothing left to do. No namespace waits for another.
 */
export class RenewalController {
  readonly #dependencies: RenewalDependencies;
  readonly #rules: PlanRules;
  readonly #attempts = new AttemptTracker();
  readonly #failures = new FailureTracker();
  /** Namespace → when a renewal last started there, in ms of the monotonic clock; only the last {@link recentStartMs}. */
  readonly #lastStartAt = new Map<string, number>();
  readonly #queues: Readonly<Record<DueKind, RenewalQueue>>;
  #plan: Plan = { ...emptyPlan, nextAt: Number.NEGATIVE_INFINITY };
  #plannedFor = { changes: -1, wallMs: 0, monotonicMs: Number.NEGATIVE_INFINITY };
  #lastClock: ClockReading | undefined;
  #timer: NodeJS.Timeout | undefined;
  #planning: Promise<void> | undefined;

  constructor(dependencies: RenewalDependencies) {
    this.#dependencies = dependencies;
    const namespaceFailure: PlanRules['namespaceFailure'] = (namespace, kind) =>
      this.#attempts.get(namespace, kind);
    this.#rules = {
      ...dependencies.rules,
      namespaceFailure,
      lastStartAt: (namespace) => this.#lastStartAt.get(namespace),
    };
    this.#queues = { valid: this.#createQueue(), missing: this.#createQueue() };
  }

  /** Starts the periodic tick. */
  start(): void {
    this.#timer = setInterval(() => this.tick(), this.#dependencies.tickMs).unref();
  }

  /** Stops starting renewals, and resolves when none is in flight. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([this.#planning, ...this.#allQueues().map((queue) => queue.stop())]);
  }

  state(): RenewalState {
    const { overdue, lateSince } = this.#plan;
    return {
      due: this.#allQueues().reduce((sum, queue) => sum + queue.size, 0),
      overdue,
      latenessMs: Math.max(0, this.#dependencies.now().wallMs - lateSince),
      get unmanagedSecrets() {
        const blocked = overdue.filter(({ failure }) => failure.code === unmanagedSecretCode);
        return new Set(blocked.map(({ namespace }) => namespace)).size;
      },
    };
  }

  /** Resolves when all renewals that were due at the last tick have succeeded or failed. */
  async waitUntilIdle(): Promise<void> {
    while (this.#planning !== undefined || this.#allQueues().some((queue) => queue.isBusy)) {
      await Promise.all([this.#planning, ...this.#allQueues().map((queue) => queue.waitUntilIdle())]);
    }
  }

  /** Reads the clocks, plans if needed, and starts what is due. */
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

  /** Renewals that are pending or in flight continue meanwhile. */
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
    const pending = this.#allQueues().reduce((sum, queue) => sum + queue.pendingCount, 0);
    const isBusy = planAgeMs < pending * planAgePerPendingMs;
    return plannedWallMs <= wallMs && planAgeMs < maxPlanAgeMs && (isUnchanged || isBusy);
  }

  /** A number that grows with every change of the planned state. */
  #countChanges(): number {
    const { secretCache, unstored, identityChangeCount } = this.#dependencies;
    return secretCache.changeCount + (unstored?.changeCount ?? 0) + (identityChangeCount?.() ?? 0);
  }

  #detectClockJump({ wallMs, monotonicMs }: ClockReading): void {
    const jumpedMs =
      this.#lastClock === undefined
        ? 0
        : wallMs - this.#lastClock.wallMs - (monotonicMs - this.#lastClock.monotonicMs);
    if (Math.abs(jumpedMs) > clockJumpMs) {
      const seconds = Math.round(jumpedMs / 1000);
      this.#dependencies.log.warn({ seconds }, 'clock jump detected; rescheduling all renewals');
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
    const registries = resolveRegistries(due.hosts, this.#dependencies.resolveRegistry);
    const unavailable = [...(await this.#dependencies.secrets.renew(namespace, registries))];
    if (unavailable.length === 0 && this.#stillDue(due) !== undefined) {
      // no newer token is available because a clock was set back, or another writer changed the Secret again
      unavailable.push(...due.hosts.map(staleHost));
    }
    const { wallMs } = this.#dependencies.now();
    const { identityOf, regionFailure } = this.#rules;
    const isNamespaceFailure = ({ host, cause }: UnavailableHost) => {
      const decision = identityOf(namespace, host);
      return (
        cause === 'write' ||
        (decision.access === 'allowed' && regionFailure(namespace, host, decision) === undefined)
      );
    };
    const namespaceFailures = unavailable.filter(isNamespaceFailure);
    // Where all hosts failed with their regions, nothing was tried in the namespace. To take that for a success would delay others.
    if (namespaceFailures.length > 0 || unavailable.length < due.hosts.length) {
      this.#attempts.record(
        due,
        namespaceFailures,
        wallMs,
        this.#dependencies.random(),
        this.#findShortestLifetime(due),
      );
    }
    if (unavailable.some(({ code }) => isGone(code))) {
      this.#forgetNamespace(namespace);
    }
    this.#reportResult(due, registries, unavailable);
  }

  /** The shortest lifetime of the hosts' stored tokens, in ms; 0 if there are none. */
  #findShortestLifetime({ namespace, hosts }: Due): number {
    const stored = this.#dependencies.secretCache.get(namespace)?.hosts;
    const lifetimes = hosts.flatMap((host) => {
      const lifetime = stored?.get(host);
      return lifetime === undefined ? [] : [lifetime.expiresAt - lifetime.issuedAt];
    });
    return lifetimes.length === 0 ? 0 : Math.min(...lifetimes);
  }

  /**
   * Forgets the Secret of a deleted namespace, which the watch may not have reported yet. If no Secret remains in the cache, its
   * failures are forgotten too.
   */
  #forgetNamespace(namespace: string): void {
    const { secretCache } = this.#dependencies;
    secretCache.forget(namespace);
    if (secretCache.get(namespace) === undefined) {
      this.#attempts.forget(namespace);
    }
  }

  /** An unexpected error must not stop other renewals, and backs off like any failure. */
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
    this.#dependencies.log.error({ namespace, err: error }, 'renewal failed with an unexpected error');
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
    const hostCount = registries.length - unavailable.length;
    if (first === undefined) {
      log.info({ namespace, reason, hostCount }, 'pull Secret renewed');
    } else {
      const failures = unavailable.map(({ host, code }) => ({ host, code }));
      const cause = first.message ?? first.text;
      log.warn({ namespace, reason, hostCount, missing: failures, cause }, 'failed to renew the pull Secret');
    }
  }
}
