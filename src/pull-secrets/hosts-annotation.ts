// Formats and parses the annotation of a pull Secret: its hosts, with the lifetimes of their tokens. Pure.
import { findHostNameProblem } from '../ecr/host-name.ts';
import type { RegistryResolver } from '../ecr/registry.ts';
import type { StoredLifetime } from '../ecr/token-policy.ts';
import { getField, isObject, parseJsonOrUndefined } from '../util/json.ts';

/** Every host that a namespace uses, with the lifetime of its stored token, or undefined while it waits for a token. */
export type HostLifetimes = ReadonlyMap<string, StoredLifetime | undefined>;

/**
 * Hosts that the program stored a token for and that are no registries any more, because the operator removed them from the
 * configuration.
 */
export type UnconfiguredHosts = ReadonlyMap<string, StoredLifetime>;

/** Host without a token → when it was first requested, in ms since the epoch. */
export type RequestTimes = ReadonlyMap<string, number>;

/**
 * Formats the annotation as JSON. Hosts are sorted, so that equal content has equal text. Times are RFC 3339 in whole
 * seconds, rounded down, so that no token is taken for valid after it has expired.
 * @param requestedAt for hosts without a token; a host without a time is written as `null`
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
 * Maximum number of hosts that are read from one Secret: the largest value that `secrets.maxHosts` can have. No managed Secret
 * names more, even if it was written with another value of that setting.
 */
export const maxParsedHosts = 250;

/**
 * Upper bounds for an annotation with {@link maxParsedHosts} hosts: a host has up to 128 characters, and an entry has three
 * fields and about 250 characters. The API server allows 256 KiB. Parsing that takes 40 ms for every change of the Secret's
 * metadata, with which a tenant could keep every replica busy.
 */
const annotationLimits = { length: 64 * 1024, commas: 4 * maxParsedHosts };

export interface AnnotatedHosts {
  readonly hosts: Map<string, StoredLifetime | undefined>;
  readonly unconfigured: UnconfiguredHosts;
}

/**
 * Parses the annotation. It is untrusted input, because anyone who may write the Secret can write anything into it. A key that
 * is no host name is skipped, and a host whose times are malformed is returned without a lifetime. Only the first
 * {@link maxParsedHosts} hosts are read, and none if the text is not a JSON object or is larger than the program ever writes.
 * Never throws.
 */
export function parseAnnotation(text: string | undefined, resolveRegistry: RegistryResolver): AnnotatedHosts {
  const hosts = new Map<string, StoredLifetime | undefined>();
  const unconfigured = new Map<string, StoredLifetime>();
  for (const [host, entry] of Object.entries(parseObject(text))) {
    if (hosts.size === maxParsedHosts) {
      break;
    }
    const lifetime = parseLifetime(entry);
    if (resolveRegistry(host) !== undefined) {
      hosts.set(host, lifetime);
    } else if (lifetime !== undefined && unconfigured.size < maxParsedHosts && !findHostNameProblem(host)) {
      unconfigured.set(host, lifetime);
    }
  }
  return { hosts, unconfigured };
}

/**
 * Parses the request times of the hosts without a token. Skips hosts without a well-formed time; older versions wrote none.
 * Never throws.
 * @param hosts those that {@link parseAnnotation} found in the same text
 */
export function parseRequestTimes(text: string | undefined, hosts: HostLifetimes): RequestTimes {
  if (text?.includes('requestedAt') !== true) {
    return noRequestTimes; // Most Secrets have a token for every host, so this saves a second parse.
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
 * Adds hosts that a Secret named before. Those that it no longer names wait for new tokens. Former hosts come first, so that
 * hosts that another writer added cannot displace them; the result has at most {@link maxParsedHosts} hosts.
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

/** RFC 3339 in UTC, as {@link formatTime} writes it. With a four-digit year, every parsed time can be formatted again. */
const timePattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/;

/** @returns ms since the epoch, or NaN if the value is not a time */
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
  const value = parseJsonOrUndefined(text);
  return isObject(value) ? value : {};
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
