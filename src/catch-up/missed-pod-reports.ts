// Reports pods without a reference and what is done about them: Events and log lines.
import { createEventQueue, formatUniqueEventName, type SendEvent } from '../kube/event-queue.ts';
import type { KubeEvent } from '../kube/events.ts';
import type { Log } from '../telemetry/log.ts';
import { NamespaceBudgets } from '../util/rate-limit.ts';
import { maxAttempts, type OwnedPod } from './eviction-policy.ts';
import type { FoundPod, UninjectedPods } from './finding-collector.ts';
import type { PodController, UninjectedPod } from './pod-findings.ts';
import { maxEventsPerNamespacePerHour, ReportedPods } from './reported-pods.ts';

export interface MissedPodReporterDependencies {
  readonly secretName: string;
  /** Resolves with false if the Event exists already; undefined: Events are disabled. */
  readonly createEvent: ((event: KubeEvent) => Promise<boolean>) | undefined;
  /** Events per second; the default of the queue if not given. */
  readonly eventsPerSecond?: number;
  /** The wall clock in ms. */
  now(): number;
  /** A monotonic clock in ms. */
  monotonicNow(): number;
  readonly log: Log;
}

/** Pods that a log line names. */
const maxNamedPods = 5;

/** Log lines about namespaces in one round. The line about the round has the totals. */
const maxLinesPerRound = 50;

/** Minimum time between two log lines about one namespace, in ms. */
const logIntervalMs = 3_600_000;

/** Emits one Event for each pod, and logs each namespace once per hour, as long as pods are found. */
export class MissedPodReporter {
  readonly #dependencies: MissedPodReporterDependencies;
  readonly #send: SendEvent;
  readonly #logBudgets: NamespaceBudgets;
  readonly #reported = new ReportedPods(Number.POSITIVE_INFINITY);

  constructor(dependencies: MissedPodReporterDependencies) {
    this.#dependencies = dependencies;
    this.#send = createEventQueue({
      ...dependencies,
      maxPerNamespacePerHour: maxEventsPerNamespacePerHour,
    });
    this.#logBudgets = new NamespaceBudgets({
      burst: 1,
      refillMs: logIntervalMs,
      now: dependencies.monotonicNow,
    });
  }

  /**
   * Reports the pods of a round that have not been reported yet.
   * @param uninjected all pods without a reference, by namespace; young ones are skipped
   */
  report(uninjected: ReadonlyMap<string, UninjectedPods>): void {
    const isOld = ({ isYoung }: FoundPod) => !isYoung;
    const all = [...uninjected.values()].flatMap(({ pods }) => pods.filter(isOld));
    this.#reported.report(all, this.#dependencies.now(), (pod, onUnsent) =>
      this.#sendNotInjected(pod, onUnsent),
    );
    let lines = 0;
    for (const [namespace, { count, pods }] of uninjected) {
      const toReport = pods.filter(isOld);
      if (toReport.length > 0 && lines < maxLinesPerRound && this.#logBudgets.trySpend(namespace)) {
        lines += 1;
        const names = toReport.slice(0, maxNamedPods).map(({ name }) => name);
        this.#dependencies.log.warn(
          { namespace, pods: names, podCount: count },
          'pods have no reference to the pull Secret; recreate them',
        );
      }
    }
  }

  /** Reports a pod that was deleted. */
  reportEvicted(pod: OwnedPod): void {
    const { namespace, name, controller } = pod;
    const { kind, name: controllerName } = controller;
    this.#dependencies.log.info(
      { namespace, pod: name, controller: `${kind}/${controllerName}` },
      'deleted a pod without a reference so that its controller creates it again',
    );
    const reference = `it has no reference to Secret ${this.#dependencies.secretName}`;
    this.#sendEvent(pod, {
      state: 'evicted',
      type: 'Normal',
      reason: 'EvictedForPullSecret',
      message: `deleted, because ${reference} and never ran, so that ${formatController(controller)} creates it again`,
    });
  }

  /** Reports a pod whose controller keeps creating pods without a reference, so that they are not deleted any more. */
  reportStopped(pod: OwnedPod): void {
    const { namespace, name, controller } = pod;
    this.#dependencies.log.warn(
      { namespace, pod: name, controller: `${controller.kind}/${controller.name}`, attempts: maxAttempts },
      'pods come back without a reference; no longer deleting the pods of this controller',
    );
    this.#sendEvent(pod, {
      state: 'eviction-stopped',
      type: 'Warning',
      reason: 'EvictionStopped',
      message:
        `${formatController(controller)} created pods without a reference to Secret ${this.#dependencies.secretName} ` +
        `${maxAttempts} times, so its pods are not deleted any more. Check that the API server calls the webhook, then delete ` +
        'the pod',
    });
  }

  #sendNotInjected(pod: UninjectedPod, onUnsent: () => void): boolean {
    const { secretName } = this.#dependencies;
    const { hosts, moreHosts, controller } = pod;
    const named = moreHosts === 0 ? hosts.join(', ') : `${hosts.join(', ')} and ${moreHosts} more`;
    const remedy =
      controller === undefined
        ? 'Delete it and create it again'
        : `Delete it, so that ${formatController(controller)} creates it again`;
    const event = {
      state: 'not-injected',
      type: 'Warning',
      reason: 'PullSecretNotInjected',
      message:
        `no reference to Secret ${secretName} for ${named}: the pod was created while ecr-pull-secrets was not answering or ` +
        `did not handle it, or another webhook added the image later. ${remedy}, unless it can pull with other credentials`,
    } as const;
    return this.#sendEvent(pod, event, onUnsent);
  }

  #sendEvent(
    { namespace, name, uid }: UninjectedPod,
    { state, ...event }: Pick<KubeEvent, 'type' | 'reason' | 'message'> & { readonly state: string },
    onUnsent?: () => void,
  ): boolean {
    return this.#send(
      {
        ...event,
        name: formatUniqueEventName(name, state, uid),
        object: { kind: 'Pod', namespace, name, uid },
        at: this.#dependencies.now(),
      },
      onUnsent,
    );
  }
}

function formatController({ kind, name }: PodController): string {
  return `${kind} ${name}`;
}
