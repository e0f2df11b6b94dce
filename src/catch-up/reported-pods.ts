// Remembers which pods of the last round have an Event.
import type { PodName } from './pod-findings.ts';

/**
 * Events about pods in one namespace and hour. More than for hosts, because each pod gets one, and fewer than a namespace can
 * have pods.
 */
export const maxEventsPerNamespacePerHour = 200;

/** Only of pods of the last round, so that memory is bounded. */
export class ReportedPods {
  readonly #repeatMs: number;
  /** UID → when the pod got its last Event, in ms since the epoch. */
  #reportedAt = new Map<string, number>();

  /** @param repeatMs how long after an Event the pod gets the next one, in ms; infinite: it gets none */
  constructor(repeatMs: number) {
    this.#repeatMs = repeatMs;
  }

  /**
   * Reports the pods of a round whose Event is due.
   * @param at ms since the epoch
   * @param send queues an Event and returns whether it did; calls `onUnsent` if the Event could not be sent after all
   */
  report<T extends PodName>(
    pods: Iterable<T>,
    at: number,
    send: (pod: T, onUnsent: () => void) => boolean,
  ): void {
    const before = this.#reportedAt;
    const reportedAt = new Map<string, number>();
    this.#reportedAt = reportedAt;
    for (const pod of pods) {
      const { uid } = pod;
      const last = before.get(uid);
      const isRecent = last !== undefined && Math.abs(at - last) < this.#repeatMs;
      reportedAt.set(uid, isRecent ? last : at);
      // another round may have ended when this is known
      const markUnreported = () => void this.#reportedAt.delete(uid);
      if (!isRecent && !send(pod, markUnreported)) {
        markUnreported();
      }
    }
  }
}
