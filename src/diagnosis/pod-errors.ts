// Reads what the kubelet reports about the pulls of one pod.
import { type ListedEvent, visitWarnings } from '../kube/event-list.ts';
import type { CheckResult } from './check.ts';
import { formatTime, skipCheck } from './check-text.ts';
import type { Installation } from './installation.ts';
import { type Gap, readOptional } from './read-gaps.ts';

/** Reasons of the kubelet's Events about images (kubernetes `pkg/kubelet/events/event.go`). */
const pullReasons: ReadonlySet<string> = new Set([
  ...['Failed', 'ErrImagePull', 'ErrImageNeverPull', 'InspectFailed', 'FailedToRetrieveImagePullSecret'],
]);

/** Messages that are shown, and the length of each. */
const maxMessages = 5;
const maxMessageLength = 400;

/** The Events of the pod that name pull errors. They are information, and never the cause. */
export async function readPullErrors(
  { cluster }: Installation,
  { namespace, name }: { readonly namespace: string; readonly name: string },
  signal: AbortSignal,
): Promise<CheckResult> {
  const check = 'pod-events';
  const gaps: Gap[] = [];
  const newest = new Map<string, ListedEvent>();
  await readOptional(`list events in namespace ${namespace}`, gaps, () =>
    visitWarnings(cluster, { kind: 'Pod', namespace, name }, (event) => keepNewest(event, newest), signal),
  );
  const [gap] = gaps;
  if (gap !== undefined) {
    return skipCheck(check, gap.why);
  }
  const events = [...newest.values()].sort((a, b) => b.at - a.at);
  return events.length === 0
    ? { check, outcome: 'ok', summary: 'no Event of the pod names a pull error' }
    : {
        check,
        outcome: 'warning',
        summary: `the kubelet reports ${events.length === 1 ? 'a pull error' : `${events.length} pull errors`}`,
        details: events.map(({ at, message }) => `${formatTime(at)} ${toLine(message)}`),
      };
}

/** Keeps a few messages, so that a pod with any number of Events takes no memory. */
function keepNewest(event: ListedEvent, newest: Map<string, ListedEvent>): void {
  const { reason, message } = event;
  if (!pullReasons.has(reason) || !/image|pull secret/i.test(message)) {
    return;
  }
  newest.set(message, event);
  if (newest.size > maxMessages) {
    const [oldest] = [...newest.values()].sort((a, b) => a.at - b.at);
    newest.delete(oldest?.message ?? '');
  }
}

function toLine(message: string): string {
  const line = message.replace(/\s+/g, ' ');
  return line.length > maxMessageLength ? `${line.slice(0, maxMessageLength)} …` : line;
}
