import { isIP } from 'node:net';
import * as v from 'valibot';

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A duration such as `500ms`, `10s`, `5m` or `12h`; comes out in milliseconds. Needs bounds: see durationBetween. */
export const duration = v.pipe(
  v.string('a duration such as 500ms, 10s, 5m or 12h'),
  v.regex(/^(0|[1-9]\d{0,8})(ms|s|m|h)$/, 'a duration such as 500ms, 10s, 5m or 12h'),
  v.transform(parseDurationMs),
);

/**
 * A duration between two others, both included. Every duration needs an upper bound: a timer of Node that is set to more
 * than 2^31 - 1 ms (596h) fires at once.
 */
export function durationBetween(from: string, to: string) {
  const expected = `a duration from ${from} to ${to}`;
  return v.pipe(
    duration,
    v.minValue(parseDurationMs(from), expected),
    v.maxValue(parseDurationMs(to), expected),
  );
}

function parseDurationMs(text: string): number {
  return Number.parseInt(text, 10) * (unitMs[text.replace(/^\d+/, '')] ?? Number.NaN);
}

/** A TCP port; 0 asks the system for a free one. */
export const port = wholeNumber(0, 65_535);

/** A whole number between two bounds, both included. */
export function wholeNumber(from: number, to: number) {
  const expected = `a whole number from ${from} to ${to}`;
  return v.pipe(
    v.number(expected),
    v.integer(expected),
    v.minValue(from, expected),
    v.maxValue(to, expected),
  );
}

/** A name that the API server accepts for a Secret: a DNS subdomain (RFC 1123). */
export const objectName = v.pipe(
  v.string('a name such as ecr-pull-secrets'),
  v.maxLength(253, 'a name of at most 253 characters'),
  v.regex(
    /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
    'a name of lower case letters, digits, "-" and "."',
  ),
);

/** A name for a TLS certificate; the first label may be `*`. */
export const dnsName = v.pipe(
  v.string('a DNS name in lower case'),
  v.maxLength(253, 'a DNS name of at most 253 characters'),
  v.regex(
    /^(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/,
    'a DNS name in lower case',
  ),
  v.check((name) => isIP(name) === 0, 'a DNS name, no IP address'),
);

/** An IPv4 or IPv6 address; a zone (`fe80::1%eth0`) has a meaning on one machine only. */
export const ipAddress = v.pipe(
  v.string('an IP address'),
  v.check((ip) => isIP(ip) !== 0 && !ip.includes('%'), 'an IP address'),
);

/** Text in which `*` stands for any run of characters. */
export const globPattern = v.pipe(
  v.string('text, with * for any run of characters'),
  v.nonEmpty('text, with * for any run of characters'),
);

/** Twelve digits, or a pattern of digits and `*`. YAML reads bare digits as a number, so those want quotes. */
export const accountPattern = v.pipe(
  v.string('an AWS account in quotes, such as "123456789012", with * for any run of digits'),
  v.regex(
    /^(\d{12}|(?=.*\*)[\d*]{1,12})$/,
    'an AWS account in quotes, such as "123456789012", with * for any run of digits',
  ),
);

/** A path or another text that must not be empty. */
export const nonEmptyText = v.pipe(v.string('text'), v.nonEmpty('text that is not empty'));
