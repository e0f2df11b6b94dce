import type { RegistryResolver } from '../ecr/registry.ts';
import type { StoredLifetime } from '../ecr/token-policy.ts';
import { getField, isObject } from '../util/json.ts';

/** Every host that a namespace uses, with the life of its stored token, or undefined while it waits for one. */
export type HostLifetimes = ReadonlyMap<string, StoredLifetime | undefined>;

/** Since when hosts without a token have been requested, in ms since the epoch, by host. */
export type RequestTimes = ReadonlyMap<string, number>;

/**
 * The annotation's text: JSON, hosts in order, so that equal content gives equal text. Times are whole seconds of
 * RFC 3339; an end is rounded down, so that it is never promised too late.
 * @param requestedAt for hosts without a token; a host that is in neither map is written as `null`
 */
export function formatHosts(hosts: HostLifetimes, requestedAt: RequestTimes = new Map()): string {
  const sorted = [...hosts].sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(
    Object.fromEntries(
      sorted.map(([host, lifetime]) => [
        host,
        lifetime ? formatLifetime(lifetime) : formatRequest(requestedAt.get(host)),
      ]),
    ),
  );
}

/**
 * Hosts that are read of one Secret: the largest `secrets.maxHosts` that can be configured. The Secrets of this program
 * never name more, also where the setting was larger when they were written.
 */
export const maxParsedHosts = 250;

/**
 * What an annotation of {@link maxParsedHosts} hosts can have at most: a host has up to 128 characters and three fields, and an
 * entry some 250 characters. The API server allows 256 KiB, whose parsing takes 40 ms and comes with every change of the
 * Secret's metadata, so a tenant could keep every replica busy with it.
 */
const annotationLimits = { length: 64 * 1024, commas: 4 * maxParsedHosts };

/**
 * Reads the annotation back. It is untrusted input, because anyone who may write the Secret can write anything into it:
 * an entry that is not an ECR host is skipped, and a host whose times cannot be read waits for a token. Reads the first
 * {@link maxParsedHosts} hosts. Returns no hosts where the text is not a JSON object, or larger than this program ever writes.
 * Never throws.
 */
export function parseHosts(
  text: string | undefined,
  resolveRegistry: RegistryResolver,
): Map<string, StoredLifetime | undefined> {
  const hosts = new Map<string, StoredLifetime | undefined>();
  for (const [host, lifetime] of Object.entries(parseObject(text))) {
    if (hosts.size === maxParsedHosts) {
      break;
    }
    if (resolveRegistry(host) !== undefined) {
      hosts.set(host, parseLifetime(lifetime));
    }
  }
  return hosts;
}

/**
 * Reads back since when the hosts that have no token have been requested. A host for which the annotation states no
 * readable time is left out, as are all hosts of annotations that older versions wrote. Never throws.
 * @param hosts what {@link parseHosts} read from the same text
 */
export function parseRequestTimes(text: string | undefined, hosts: HostLifetimes): RequestTimes {
  if (text?.includes('requestedAt') !== true) {
    return noRequestTimes; // most Secrets have a token for every host: one parse and no further map
  }
  const times = new Map<string, number>();
  for (const [host, entry] of Object.entries(parseObject(text))) {
    const ms = parseTime(getField(entry, 'requestedAt'));
    if (hosts.has(host) && hosts.get(host) === undefined && !Number.isNaN(ms)) {
      times.set(host, ms);
    }
  }
  return times;
}

const noRequestTimes: RequestTimes = new Map();

/**
 * Adds hosts that a Secret had before: those that it does not name any more wait for their tokens again. They come first, so
 * that hosts that another writer added cannot push them out, and all of them together are at most {@link maxParsedHosts}.
 */
export function addFormerHosts(hosts: HostLifetimes, formerHosts: HostLifetimes): HostLifetimes {
  const names = new Set([...formerHosts.keys(), ...hosts.keys()]);
  return new Map([...names].slice(0, maxParsedHosts).map((host) => [host, hosts.get(host)]));
}

function formatRequest(requestedAt: number | undefined): { requestedAt: string } | null {
  return requestedAt === undefined ? null : { requestedAt: formatTime(requestedAt) };
}

function formatLifetime({ issuedAt, expiresAt, identity }: StoredLifetime): Record<string, string> {
  return {
    issuedAt: formatTime(issuedAt),
    expiresAt: formatTime(expiresAt),
    ...(identity !== undefined && { identity }),
  };
}

function formatTime(ms: number): string {
  return new Date(Math.floor(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z');
}

function parseLifetime(value: unknown): StoredLifetime | undefined {
  const issuedAt = parseTime(getField(value, 'issuedAt'));
  const expiresAt = parseTime(getField(value, 'expiresAt'));
  const identity = getField(value, 'identity');
  if (!(issuedAt < expiresAt)) {
    return undefined;
  }
  return { issuedAt, expiresAt, ...(typeof identity === 'string' && identity !== '' && { identity }) };
}

/** RFC 3339 in UTC, as {@link formatTime} writes it; with a year of four digits every such time can be written again. */
const timePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/;

/** @returns ms since the epoch; NaN for anything that is not a time */
function parseTime(value: unknown): number {
  return typeof value === 'string' && timePattern.test(value) ? Date.parse(value) : Number.NaN;
}

function parseObject(text: string | undefined): object {
  if (
    text === undefined ||
    text.length > annotationLimits.length ||
    hasMoreCommas(text, annotationLimits.commas)
  ) {
    return {};
  }
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function hasMoreCommas(text: string, max: number): boolean {
  let commas = 0;
  for (let index = text.indexOf(','); index >= 0; index = text.indexOf(',', index + 1)) {
    commas += 1;
    if (commas > max) {
      return true;
    }
  }
  return false;
}
