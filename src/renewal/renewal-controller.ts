import { setImmediate as othersHadTheirTurn } from 'node:timers/promises';
import { type Registry, registriesOf } from '../ecr/registry.ts';
import type { Moment } from '../ecr/token-policy.ts';
import type { PullSecrets } from '../pull-secrets/ensure.ts';
import type { SecretView } from '../pull-secrets/secret-cache.ts';
import { isGone, notFresh, type Shortfall } from '../pull-secrets/unavailable-host.ts';
import type { UnstoredHosts } from '../pull-secrets/unstored-hosts.ts';
import type { Log } from '../telemetry/log.ts';
import { Attempts, type Tellings, Troubles } from './failures.ts';
import type { Due, DueKind, Overdue, Plan, PlanRules } from './plan-types.ts';
import { planInSteps, planNamespace } from './renewal-plan.ts';
import { RenewalQueue } from './renewal-queue.ts';

export interface RenewalParts {
  readonly view: SecretView;
  readonly secrets: Pick<PullSecrets, 'renew'>;
  /** Hosts whose write failed; none, if not given. */
  readonly unstored?: UnstoredHosts | undefined;
  readonly rules: Omit<PlanRules, 'namespaceTrouble' | 'lastStart'>;
  now(): Moment;
  /** Gives a number in [0, 1). */
  random(): number;
  /** Renewals of each kind that are in flight at a time, and that start in a second. */
  readonly concurrency: number;
  readonly writesPerSecond: number;
  /** How long a renewal holds its slot, in ms; the queue's own default if not given. */
  readonly patienceMs?: number;
  /** How often to look at the clock, in ms. */
  readonly tickMs: number;
  readonly log: Log;
  /** Counts a renewal by the reason and by how it ended: `renewed`, or the code of what is missing. */
  counted(reason: Due['reason'], outcome: string): void;
  /**
   * Told after each plan what people should hear of.
   * @param onUnsent called for a failing host whose Event was not sent, so that it is reported again
   */
  told(tellings: Tellings, onUnsent: (one: Overdue) => void): void;
}

/** How things stand, for metrics. */
export interface RenewalState {
  /** Namespaces that are due now, or being renewed. */
  readonly due: number;
  readonly overdue: readonly Overdue[];
}

/** Nothing is planned anew while nothing has changed, but for this long, ms: tokens come and fail behind our back. */
const longestRestMs = 10_000;

/**
 * How long a plan holds for each namespace that is still to be renewed, ms, whatever has changed: to plan 10,000 takes
 * 10 to 40 ms and some MB of memory, and whether one is still due is looked up anyway when its turn comes.
 */
const restPerPendingMs = 0.5;

/** Namespaces in which a renewal started within this time come after others, ms. */
const latelyMs = 600_000;

/** The wall clock and the steady one may differ by this much between two looks before that counts as a jump, ms. */
const jumpMs = 5_000;

/**
 * Renews the pull Secrets of all namespaces, for ever. There is no leader: each replica runs this, a replica that was
 * slower sees on its watch that there is nothing left to do, and no namespace waits for another.
 */
export class Renewal {
  readonly #parts: RenewalParts;
  readonly #rules: PlanRules;
  readonly #attempts = new Attempts();
  readonly #troubles = new Troubles();
  /** Namespace → when a renewal started in it, by the monotonic clock in ms; only those of the last minutes. */
  readonly #lastStarts = new Map<string, number>();
  readonly #queues: Readonly<Record<DueKind, RenewalQueue>>;
  #plan: Plan = { due: [], overdue: [], nextAt: Number.NEGATIVE_INFINITY };
  #planned = { changes: -1, wall: 0, steady: Number.NEGATIVE_INFINITY };
  #last: Moment | undefined;
  #timer: NodeJS.Timeout | undefined;
  #planning: Promise<void> | undefined;

  constructor(parts: RenewalParts) {
    this.#parts = parts;
    const namespaceTrouble: PlanRules['namespaceTrouble'] = (namespace, kind) =>
      this.#attempts.get(namespace, kind);
    this.#rules = {
      ...parts.rules,
      namespaceTrouble,
      lastStart: (namespace) => this.#lastStarts.get(namespace),
    };
    this.#queues = { valid: this.#newQueue(), missing: this.#newQueue() };
  }

  /** Begins to look at the clock. */
  start(): void {
    this.#timer = setInterval(() => this.tick(), this.#parts.tickMs).unref();
  }

  /** Starts nothing any more, and resolves when nothing is in flight. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([this.#planning, ...this.#bothQueues().map((queue) => queue.stop())]);
  }

  state(): RenewalState {
    const due = this.#bothQueues().reduce((sum, queue) => sum + queue.size, 0);
    return { due, overdue: this.#plan.overdue };
  }

  /** Resolves when all that was due at the last look is done or has failed. */
  async settled(): Promise<void> {
    while (this.#planning !== undefined || this.#bothQueues().some((queue) => queue.busy)) {
      await Promise.all([this.#planning, ...this.#bothQueues().map((queue) => queue.settled())]);
    }
  }

  /** Looks at the clock once, and begins what is due. */
  tick(): void {
    const now = this.#parts.now();
    this.#noticeJump(now);
    this.#last = now;
    if (this.#planning !== undefined || this.#mayRest(now)) {
      return;
    }
    this.#planned = { changes: this.#changes(), ...now };
    this.#planning = this.#planAnew(now).finally(() => {
      this.#planning = undefined;
    });
  }

  /** What is under way or waits for its turn goes on meanwhile. */
  async #planAnew(now: Moment): Promise<void> {
    const { view, unstored } = this.#parts;
    for (const [namespace, at] of this.#lastStarts) {
      if (now.steady - at > latelyMs) {
        this.#lastStarts.delete(namespace);
      }
    }
    const known = { secrets: view.entries(), lost: view.lost(), unstored: unstored?.all() };
    const steps = planInSteps(known, now, this.#rules);
    let step = steps.next();
    while (step.done !== true) {
      await othersHadTheirTurn();
      step = steps.next();
    }
    this.#plan = step.value;
    this.#attempts.forgetResolved(step.value, now.wall);
    const tellings = this.#troubles.tell(step.value.overdue, now.wall);
    this.#parts.told(tellings, (one) => this.#troubles.unsent(one));
    for (const kind of ['valid', 'missing'] as const) {
      this.#queues[kind].replace(step.value.due.filter((due) => due.kind === kind));
    }
  }

  #mayRest({ wall, steady }: Moment): boolean {
    const { changes, wall: plannedWall, steady: plannedSteady } = this.#planned;
    const rested = steady - plannedSteady;
    const nothingNew = this.#changes() === changes && wall < this.#plan.nextAt;
    const waiting = this.#bothQueues().reduce((sum, queue) => sum + queue.waiting, 0);
    const busy = rested < waiting * restPerPendingMs;
    return plannedWall <= wall && rested < longestRestMs && (nothingNew || busy);
  }

  /** Grows with every change of what is planned. */
  #changes(): number {
    return this.#parts.view.changes + (this.#parts.unstored?.changes ?? 0);
  }

  #noticeJump({ wall, steady }: Moment): void {
    const jump = this.#last === undefined ? 0 : wall - this.#last.wall - (steady - this.#last.steady);
    if (Math.abs(jump) > jumpMs) {
      const seconds = Math.round(jump / 1000);
      this.#parts.log.warn(
        { seconds },
        'the clock was set, or the machine was suspended; all is planned anew',
      );
      this.#planned.steady = Number.NEGATIVE_INFINITY;
    }
  }

  #newQueue(): RenewalQueue {
    return new RenewalQueue({
      concurrency: this.#parts.concurrency,
      perSecond: this.#parts.writesPerSecond,
      patienceMs: this.#parts.patienceMs,
      stillDue: (planned) => this.#stillDue(planned),
      run: (due) => this.#renew(due).catch((error: unknown) => this.#onBug(due, error)),
    });
  }

  #bothQueues(): RenewalQueue[] {
    return Object.values(this.#queues);
  }

  async #renew(due: Due): Promise<void> {
    const { namespace } = due;
    this.#lastStarts.set(namespace, this.#parts.now().steady);
    const registries = registriesOf(due.hosts);
    const missing = [...(await this.#parts.secrets.renew(namespace, registries))];
    if (missing.length === 0 && this.#stillDue(due) !== undefined) {
      // there was nothing better to be had: a clock was set back, or somebody is at the Secret again
      missing.push(...due.hosts.map(notFresh));
    }
    const { wall } = this.#parts.now();
    const isOwn = ({ host, cause }: Shortfall) =>
      cause === 'write' || this.#rules.regionTrouble(host) === undefined;
    const own = missing.filter(isOwn);
    this.#attempts.note(due, own, wall, this.#parts.random(), this.#lifetimeOf(due));
    if (missing.some(({ code }) => isGone(code))) {
      this.#giveUp(namespace);
    }
    this.#tell(due, registries, missing);
  }

  /** The shortest lifetime of the tokens that are stored for the hosts, in ms; 0 where there is none. */
  #lifetimeOf({ namespace, hosts }: Due): number {
    const stored = this.#parts.view.get(namespace)?.hosts;
    const lifetimes = hosts.flatMap((host) => {
      const life = stored?.get(host);
      return life === undefined ? [] : [life.expiresAt - life.issuedAt];
    });
    return lifetimes.length === 0 ? 0 : Math.min(...lifetimes);
  }

  /** The namespace is gone. What is held against it goes with its Secret, of which the watch may not have told yet. */
  #giveUp(namespace: string): void {
    const { view } = this.#parts;
    view.forget(namespace);
    if (view.get(namespace) === undefined) {
      this.#attempts.forget(namespace);
    }
  }

  /** A bug must neither stop the others nor be tried again at every look. */
  #onBug(due: Due, error: unknown): void {
    const { namespace } = due;
    const bug: Shortfall = { host: due.hosts[0] ?? '', code: 'internal-error', text: 'internal error' };
    this.#attempts.note(due, [bug], this.#parts.now().wall, this.#parts.random(), this.#lifetimeOf(due));
    this.#parts.counted(due.reason, bug.code);
    this.#parts.log.error({ namespace, err: error }, 'renewal failed because of a bug');
  }

  #stillDue({ namespace, kind }: Due): Due | undefined {
    const { view, unstored, now } = this.#parts;
    const known = {
      secret: view.get(namespace),
      lost: view.lost().get(namespace),
      unstored: unstored?.all().get(namespace),
    };
    return planNamespace(namespace, known, now(), this.#rules).due.find((due) => due.kind === kind);
  }

  #tell({ namespace, reason }: Due, registries: readonly Registry[], missing: readonly Shortfall[]): void {
    const { counted, log } = this.#parts;
    const [first] = missing;
    counted(reason, first?.code ?? 'renewed');
    const hosts = registries.length - missing.length;
    if (first === undefined) {
      log.info({ namespace, reason, hosts }, 'pull Secret renewed');
    } else {
      const failed = missing.map(({ host, code }) => ({ host, code }));
      const cause = first.message ?? first.text;
      log.warn({ namespace, reason, hosts, missing: failed, cause }, 'pull Secret not renewed');
    }
  }
}
