// Reports pods that wait for the token of a failing host, as Events about the pods.
import { createEventQueue, formatHourlyEventName, type SendEvent } from '../kube/event-queue.ts';
import type { KubeEvent } from '../kube/events.ts';
import { getFailureReason } from '../pull-secrets/unavailable-host.ts';
import type { Log } from '../telemetry/log.ts';
import type { WaitingPod } from './finding-collector.ts';
import { maxEventsPerNamespacePerHour, ReportedPods } from './reported-pods.ts';

export interface WaitingPodReporterDependencies {
  /** Resolves with false if the Event exists already; undefined: Events are disabled. */
  readonly createEvent: ((event: KubeEvent) => Promise<boolean>) | undefined;
  /** Events per second; the default of the queue if not given. */
  readonly eventsPerSecond?: number;
  /** The wall clock in ms. */
  now(): number;
  readonly log: Log;
}

const hourMs = 3_600_000;

/** Emits one Event for each pod and hour, as long as it waits. */
export class WaitingPodReporter {
  readonly #dependencies: WaitingPodReporterDependencies;
  readonly #send: SendEvent;
  readonly #reported = new ReportedPods(hourMs);

  constructor(dependencies: WaitingPodReporterDependencies) {
    this.#dependencies = dependencies;
    this.#send = createEventQueue({
      ...dependencies,
      maxPerNamespacePerHour: maxEventsPerNamespacePerHour,
    });
  }

  /** Reports the pods of a round that have got no Event for an hour. @param waiting by namespace */
  report(waiting: ReadonlyMap<string, readonly WaitingPod[]>): void {
    const at = this.#dependencies.now();
    this.#reported.report([...waiting.values()].flat(), at, (pod, onUnsent) =>
      this.#sendEvent(pod, at, onUnsent),
    );
  }

  #sendEvent(pod: WaitingPod, at: number, onUnsent: () => void): boolean {
    const { namespace, name, uid, host, moreHosts, failure } = pod;
    const more = moreHosts === 0 ? '' : ` (and ${moreHosts} more ${moreHosts === 1 ? 'host' : 'hosts'})`;
    return this.#send(
      {
        name: formatHourlyEventName(name, 'no-token', uid, at),
        object: { kind: 'Pod', namespace, name, uid },
        type: 'Warning',
        reason: getFailureReason(failure),
        message: `${host}${more}: ${failure.message}`,
        at,
      },
      onUnsent,
    );
  }
}
