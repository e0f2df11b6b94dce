import { isObject } from '../util/json.ts';
import { maxObjectBytes } from './bounded-http.ts';
import type { ClusterConfig } from './client.ts';
import { createStatusError, KubeError, toKubeError } from './errors.ts';
import { sendGet } from './request.ts';
import type { Resource } from './resource.ts';
import { getMetadata } from './resource.ts';

/** A change that a watch reports. */
export interface WatchEvent {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  object: unknown;
  /** Where the next watch takes over after this event. */
  resourceVersion: string;
}

/** A line of a watch that is not an event: of which object it was is not known. */
export interface UnreadableLine {
  type: 'UNREADABLE';
  error: KubeError;
}

/** One watch request. */
export interface WatchStreamOptions {
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

// Of a line, in characters: one event with one object.
const maxLineLength = maxObjectBytes;

const eventTypes = new Set(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK']);

function isEventType(type: unknown): type is WatchEvent['type'] {
  return typeof type === 'string' && eventTypes.has(type);
}

/** @throws {KubeError} for an ERROR event */
function parseEvent(line: string | undefined, operation: string): WatchEvent | UnreadableLine {
  const event = line === undefined ? undefined : parseJsonOrUndefined(line);
  const { type, object } = isObject(event) ? event : {};
  if (type === 'ERROR') {
    const status = isObject(object) && typeof object['code'] === 'number' ? object['code'] : 500;
    throw createStatusError(status, object, operation);
  }
  const { resourceVersion } = getMetadata(object);
  if (!isEventType(type) || typeof resourceVersion !== 'string') {
    const detail = line === undefined ? 'a line is too long' : 'a line is not a watch event';
    return { type: 'UNREADABLE', error: new KubeError({ code: 'unknown', operation, detail }) };
  }
  return { type, object, resourceVersion };
}

function parseJsonOrUndefined(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** The lines of a stream; undefined for one that is too long. */
async function* readLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string | undefined> {
  const decoder = new TextDecoder();
  let parts: string[] = [];
  let length = 0;
  for await (const chunk of stream) {
    const [first = '', ...others] = decoder.decode(chunk, { stream: true }).split('\n');
    length += first.length;
    // Of a line that is too long nothing is kept, only its end is looked for.
    if (length > maxLineLength) parts = [];
    else parts.push(first);
    for (const other of others) {
      if (length > 0) yield length > maxLineLength ? undefined : parts.join('');
      parts = [other];
      length = other.length;
    }
  }
  // A line that was cut off at the end is left: the next watch brings its event again.
}

function abortAfter(controller: AbortController, ms: number): NodeJS.Timeout {
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
export async function* streamEvents(
  options: WatchStreamOptions,
): AsyncGenerator<WatchEvent | UnreadableLine> {
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
  let timer = abortAfter(controller, config.requestTimeoutMs);
  try {
    const request = { path, query, accept: accept.watch, signal, operation };
    const stream = (await sendGet(config, request)).body.stream();
    clearTimeout(timer);
    timer = abortAfter(controller, seconds * 1000 + slackMs);
    onOpen();
    if (stream === null) return;
    for await (const line of readLines(stream)) yield parseEvent(line, operation);
  } catch (error) {
    throw toKubeError(error, operation);
  } finally {
    clearTimeout(timer);
    controller.abort();
  }
}
