// Reusable value types of the configuration schema: durations, names, patterns, numbers.
import { isIP } from 'node:net';
import * as v from 'valibot';
import { isRegion } from '../ecr/ecr-host.ts';
import { findHostNameProblem } from '../ecr/host-name.ts';
import { isNameOrPattern } from '../util/glob.ts';
import { isLabelKey, isLabelValue, parseLabelSelector } from '../util/label-selector.ts';

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A duration such as `500ms`, `10s`, `5m` or `12h`, converted to ms. Needs bounds; see {@link durationBetween}. */
export const duration = v.pipe(
  v.string('a duration such as 500ms, 10s, 5m or 12h'),
  v.regex(/^(0|[1-9]\d{0,8})(ms|s|m|h)$/, 'a duration such as 500ms, 10s, 5m or 12h'),
  v.transform(parseDurationMs),
);

/**
 * A duration between two bounds, both included. Every duration needs an upper bound, because a Node timer of more than
 * 2^31 - 1 ms (596h) fires immediately.
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

/** A TCP port. With 0, the system chooses a free one. */
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
    'a name of lowercase letters, digits, "-" and "."',
  ),
);

/** A DNS name for a TLS certificate. The first label may be `*`. */
export const dnsName = v.pipe(
  v.string('a DNS name in lowercase'),
  v.maxLength(253, 'a DNS name of at most 253 characters'),
  v.regex(
    /^(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/,
    'a DNS name in lowercase',
  ),
  v.check((name) => isIP(name) === 0, 'a DNS name, not an IP address'),
);

/** An IPv4 or IPv6 address without a zone (`fe80::1%eth0`), which is meaningful on one machine only. */
export const ipAddress = v.pipe(
  v.string('an IP address'),
  v.check((ip) => isIP(ip) !== 0 && !ip.includes('%'), 'an IP address'),
);

/** A string in which `*` matches any number of characters. */
export const globPattern = v.pipe(
  v.string('a string, with * for any number of characters'),
  v.nonEmpty('a string, with * for any number of characters'),
);

/** The name of a Kubernetes object, in which `*` matches any number of characters. */
export const namePattern = v.pipe(
  v.string('a name, with * for any number of characters'),
  v.check(
    isNameOrPattern,
    'a name of lowercase letters, digits, "-" and ".", with * for any number of characters',
  ),
);

/** Twelve digits, or a pattern of digits and `*`. YAML parses unquoted digits as a number, so they need quotes. */
export const accountPattern = v.pipe(
  v.string('an AWS account ID in quotes, such as "123456789012", with * for any number of digits'),
  v.regex(
    /^(\d{12}|(?=.*\*)[\d*]{1,12})$/,
    'an AWS account ID in quotes, such as "123456789012", with * for any number of digits',
  ),
);

/** Twelve digits. YAML parses unquoted digits as a number, so they need quotes. */
export const accountId = v.pipe(
  v.string('an AWS account ID in quotes, such as "123456789012"'),
  v.regex(/^\d{12}$/, 'an AWS account ID in quotes, such as "123456789012"'),
);

/** The name of an AWS region. */
export const region = v.pipe(
  v.string('a region such as eu-central-1'),
  v.check(isRegion, 'a region such as eu-central-1'),
);

/** A URL of an API, such as `http://localstack.example:4566`. It has no credentials, because it appears in the log. */
export const endpointUrl = v.pipe(
  v.string('a URL that begins with https:// or http://'),
  v.regex(/^https?:\/\/[^/\\]/, 'a URL that begins with https:// or http://'),
  v.check(
    (text) => URL.canParse(text) && !/[@?#\s]/.test(text),
    'a URL of a host, without spaces, user name, query and fragment',
  ),
);

/**
 * A registry host as container runtimes read it from an image, with an optional port. The message is the rest of a sentence that
 * begins with the host.
 */
export const registryHost = v.pipe(
  v.string(),
  v.check(
    (host) => findHostNameProblem(host) === undefined,
    ({ input }) => findHostNameProblem(input) ?? '',
  ),
);

/** A path or another string that must not be empty. */
export const nonEmptyText = v.pipe(v.string('a string'), v.nonEmpty('a non-empty string'));

/** A label selector as `kubectl` takes it. */
export const labelSelector = v.pipe(
  v.string('a label selector such as team=shop,env!=test'),
  v.check((text) => parseLabelSelector(text) !== undefined, 'a label selector such as team=shop,env!=test'),
);

/** The key of a label or annotation. The message is the rest of a sentence that begins with the key. */
export const labelKey = v.pipe(
  v.string(),
  v.check(isLabelKey, 'is not a key of labels and annotations, such as team or example.com/team'),
);

/** The value of a label. YAML parses unquoted digits as a number, so they need quotes. */
export const labelValue = v.pipe(
  v.string('a string in quotes'),
  v.check(
    isLabelValue,
    'a value of at most 63 letters, digits, "-", "_" and ".", which begins and ends with a letter or digit',
  ),
);
