// Opens one watch request and parses its events.
import { isObject, parseJsonOrUndefined } from '../util/json.ts';
import { maxObjectBytes } from './bounded-http.ts';
import type { ClusterConfig } from './client.ts';
import { createStatusError, KubeError, toKubeError } from './errors.ts';
import { sendGet } from './request.ts';
import type { Resource } from './resource.ts';
import { getMetadata } from './resource.ts';

/** An event of a watch. */
export interface WatchEvent {
  type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  object: unknown;
  /** The resourceVersion to start the next watch from. */
  resourceVersion: string;
}

/** A line of a watch that is not an event. It is unknown which object it was about. */
export interface InvalidLine {
  type: 'INVALID';
  error: KubeError;
}

/** One watch request. */
export interface WatchStreamOptions {
  config: ClusterConfig;
  resource: Resource<unknown>;
  resourceVersion: string;
  /** The server is asked to end the stream after this many seconds. */
  seconds: number;
  /** How long after that a stream may stay open before its connection counts as dead, in ms. */
  slackMs: number;
  /** Aborts the stream, as a failure. */
  signal: AbortSignal;
  /** Called when the server has accepted the watch. */
  onOpen: () => void;
}

// Maximum length of a line, which is one event with one object, in characters.
const maxLineLength = maxObjectBytes;

const eventTypes = new Set(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK']);

function isEventType(type: unknown): type is WatchEvent['type'] {
  return typeof type === 'string' && eventTypes.has(type);
}

/**
 * Parses one line.
 * @throws {KubeError} for an ERROR event
 */
function parseEvent(line: string | undefined, operation: string): WatchEvent | InvalidLine {
  const event = line === undefined ? undefined : parseJsonOrUndefined(line);
  const { type, object } = isObject(event) ? event : {};
  if (type === 'ERROR') {
    const status = isObject(object) && typeof object['code'] === 'number' ? object['code'] : 500;
    throw createStatusError(status, object, operation);
  }
  const { resourceVersion } = getMetadata(object);
  if (!isEventType(type) || typeof resourceVersion !== 'string') {
    const detail = line === undefined ? 'a line is too long' : 'a line is not a watch event';
    return { type: 'INVALID', error: new KubeError({ code: 'unknown', operation, detail }) };
  }
  return { type, object, resourceVersion };
}

/** Yields the lines of a stream; undefined for a line that is too long. */
async function* readLines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string | undefined> {
  const decoder = new TextDecoder();
  let parts: string[] = [];
  let length = 0;
  for await (const chunk of stream) {
    const [first = '', ...others] = decoder.decode(chunk, { stream: true }).split('\n');
    length += first.length;
    // A line that is too long is discarded up to its end.
    if (length > maxLineLength) {
      parts = [];
    } else {
      parts.push(first);
    }
    for (const other of others) {
      if (length > 0) {
        yield length > maxLineLength ? undefined : parts.join('');
      }
      parts = [other];
      length = other.length;
    }
  }
  // An incomplete last line is ignored, because the next watch repeats its event.
}

function abortAfter(controller: AbortController, ms: number): NodeJS.Timeout {
  return setTimeout(() => controller.abort(new DOMException('the watch timed out', 'TimeoutError')), ms);
}

/**
 * Watches a resource until the server ends the stream.
 *
 * A cluster without changes and a connection whose peer has disappeared silently look the same to the client. So the server is
 * asked to end the stream soon (`timeoutSeconds`), with a bookmark before the end. If the stream stays open for longer, the
 * connection is dead.
 * @throws {KubeError} with code `timeout` if the stream stays open too long, `gone` if the resourceVersion is too old
 */
export async function* streamEvents(options: WatchStreamOptions): AsyncGenerator<WatchEvent | InvalidLine> {
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
    if (stream === null) {
      return;
    }
    for await (const line of readLines(stream)) {
      yield parseEvent(line, operation);
    }
  } catch (error) {
    throw toKubeError(error, operation);
  } finally {
    clearTimeout(timer);
    controller.abort();
  }
}
