// Lists Events about objects: of all Secrets of one name, or of one pod.
import { getField, toText } from '../util/json.ts';
import type { ClusterConfig } from './client.ts';
import { visitAll } from './list.ts';
import { acceptObjects, getMetadata, getResourcePath, type Resource } from './resource.ts';

/** The parts of an Event that are kept. They are untrusted, because users may create Events. */
export interface ListedEvent {
  readonly namespace: string;
  readonly reason: string;
  /** At most 1,024 characters. */
  readonly message: string;
  /** The component that created it. */
  readonly source: string;
  /** When it was last observed, in ms since the epoch. */
  readonly at: number;
}

/** The object that Events are about. */
interface EventSubject {
  readonly kind: 'Pod' | 'Secret';
  readonly name: string;
  /** Undefined: objects of the name in all namespaces. */
  readonly namespace: string | undefined;
}

/**
 * Lists the warnings about objects of a name page by page, and keeps nothing of them.
 * @param onEvent called with each Event as its page arrives; must not throw
 * @throws {KubeError}
 */
export async function visitWarnings(
  config: ClusterConfig,
  subject: EventSubject,
  onEvent: (event: ListedEvent) => void,
  signal: AbortSignal,
): Promise<void> {
  await visitAll(config, createEventResource(subject), signal, onEvent);
}

function createEventResource({ kind, name, namespace }: EventSubject): Resource<ListedEvent> {
  return {
    noun: namespace === undefined ? 'Events' : `Events of namespace ${namespace}`,
    path: getResourcePath('events', namespace),
    query: { fieldSelector: `involvedObject.kind=${kind},involvedObject.name=${name},type=Warning` },
    accept: acceptObjects,
    parseItem: parseEvent,
  };
}

/** The API server accepts messages of any length with its older API. */
const maxMessageLength = 1024;

function parseEvent(object: unknown): ListedEvent | undefined {
  const { namespace, creationTimestamp } = getMetadata(object);
  const at = Date.parse(
    toText(getField(object, 'lastTimestamp')) ||
      toText(getField(object, 'eventTime')) ||
      toText(creationTimestamp),
  );
  if (typeof namespace !== 'string' || Number.isNaN(at)) {
    return undefined;
  }
  return {
    namespace,
    reason: toText(getField(object, 'reason')),
    message: toText(getField(object, 'message')).slice(0, maxMessageLength),
    source: toText(getField(getField(object, 'source'), 'component')),
    at,
  };
}
