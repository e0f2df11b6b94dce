import type { ClusterConfig } from './config.ts';
import { errorOf, errorOfStatus, KubeError } from './errors.ts';
import { metadataOf } from './metadata.ts';
import { isRecord } from './records.ts';
import { get, parseJson } from './request.ts';
import type { Resource } from './resource.ts';

/** A change that a watch reports. */
export interface WatchEvent {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  object: unknown;
  /** Where the next watch takes over after this event. */
  resourceVersion: string;
}

/** One watch request. */
export interface StreamOptions {
  config: ClusterConfig;
  resource: Resource<unknown>;
  resourceVersion: string;
  /** The server is asked to end the stream after this many seconds. */
  seconds: number;
  /** Milliseconds beyond that after which a stream that is still open counts as dead. */
  slackMs: number;
  /** Ends the stream, as a failure. */
  signal: AbortSignal;
  /** The server has taken the watch. */
  onOpen: () => void;
}

// The longest line: a Secret's annotations are at most 256 KiB, its managed fields not much more.
const MAX_LINE = 4 * 1024 * 1024;

const TYPES = new Set(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK']);

function isType(type: unknown): type is WatchEvent['type'] {
  return typeof type === 'string' && TYPES.has(type);
}

function eventOf(line: string, operation: string): WatchEvent {
  const event = parseJson(line, operation);
  const { type, object } = isRecord(event) ? event : {};
  if (type === 'ERROR') {
    const status = isRecord(object) && typeof object['code'] === 'number' ? object['code'] : 500;
    throw errorOfStatus(status, object, operation);
  }
  const { resourceVersion } = metadataOf(object);
  if (!isType(type) || typeof resourceVersion !== 'string') {
    throw new KubeError({ code: 'unknown', operation, detail: 'the answer is no watch event' });
  }
  return { type, object, resourceVersion };
}

async function* lines(stream: ReadableStream<Uint8Array>, operation: string): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true });
    const parts = rest.split('\n');
    rest = parts.pop() ?? '';
    if (rest.length > MAX_LINE)
      throw new KubeError({ code: 'unknown', operation, detail: 'a line without end' });
    yield* parts.filter((part) => part !== '');
  }
  // A line that was cut off at the end is left: the next watch brings its event again.
}

function deadline(controller: AbortController, ms: number): NodeJS.Timeout {
  return setTimeout(() => controller.abort(new DOMException('silence', 'TimeoutError')), ms);
}

/**
 * Watches a resource, and ends when the server ends the stream, as it was asked to.
 *
 * A quiet cluster and a connection whose far end vanished without a word look the same. So the server is asked
 * for a short stream (`timeoutSeconds`): its end, with a bookmark before it, is the sign of life, and a stream
 * that outlives it is dead.
 *
 * @throws {KubeError} `timeout` for silence, `gone` where the resourceVersion is too old (by status or by event)
 */
export async function* watchStream(options: StreamOptions): AsyncGenerator<WatchEvent> {
  const { config, resource, resourceVersion, seconds, slackMs, onOpen } = options;
  const { path, accept } = resource;
  const operation = `watch ${resource.noun}`;
  const query = {
    ...resource.query,
    watch: 'true',
    resourceVersion,
    allowWatchBookmarks: 'true',
    timeoutSeconds: String(seconds),
  };
  const controller = new AbortController();
  const signal = AbortSignal.any([options.signal, controller.signal]);
  let timer = deadline(controller, config.requestTimeoutMs);
  try {
    const request = { path, query, accept: accept.watch, signal, operation };
    const stream = (await get(config, request)).body.stream();
    clearTimeout(timer);
    timer = deadline(controller, seconds * 1000 + slackMs);
    onOpen();
    if (stream === null) return;
    for await (const line of lines(stream, operation)) yield eventOf(line, operation);
  } catch (error) {
    throw errorOf(error, operation);
  } finally {
    clearTimeout(timer);
    controller.abort();
  }
}
