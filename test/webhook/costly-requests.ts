// Request bodies that need much memory or time to parse, for tests of resource exhaustion.
import { maxBodyBytes, maxJsonValues } from '../../src/webhook/limits.ts';
import { buildPodReview } from './admission-reviews.ts';

const MiB = 1024 * 1024;

/** Bodies of about the maximum size, by name. */
export const costlyBodies: Readonly<Record<string, () => string>> = {
  'empty objects': () => `{"a":[${'{},'.repeat(maxBodyBytes / 3 - 10)}{}]}`,
  'nested arrays': () => '['.repeat(maxBodyBytes),
  'nested objects': () => '{"a":'.repeat(maxBodyBytes / 5),
  numbers: () => `[${'0,'.repeat(maxBodyBytes / 2 - 10)}0]`,
  'distinct keys': () => `{${Array.from({ length: 600_000 }, (_, i) => `"k${i}":0`).join(',')}}`,
  'empty strings': () => `[${'"",'.repeat(maxBodyBytes / 3 - 10)}0]`,
  'lists of managed fields': () => `{${'"managedFields":[],'.repeat(maxBodyBytes / 19 - 10)}"a":0}`,
};

/** Bodies of about the maximum size and number of values: the most expensive ones that are parsed. */
export const slowestParsedBodies: Readonly<Record<string, () => string>> = {
  'empty objects': () => filled(`[${'{},'.repeat(maxJsonValues / 2 - 10)}`, '{}]'),
  'nested arrays': () => `${'['.repeat(maxJsonValues - 10)}${']'.repeat(maxJsonValues - 10)}`,
  'distinct keys': () => filled(`{${keys(maxJsonValues - 10)},"a":"`, '"}'),
  'sparse indexes': () => filled(`{${sparse(maxJsonValues - 10)},"a":"`, '"}'),
  'escaped characters': () => filled('"', '"', '\\u0041'),
  'short escapes': () => filled('"', '"', '\\n'),
  'characters of two bytes, once': () => filled('"€', '"'),
  'one long number': () => filled('', '1', '1'),
  spaces: () => filled('', '0', ' '),
  'lists of managed fields': () =>
    filled(`{${'"managedFields":[],'.repeat(maxJsonValues / 2 - 10)}"a":"`, '"}'),
};

function keys(count: number): string {
  return Array.from({ length: count }, (_, i) => `"${'k'.repeat(60)}${i}":0`).join(',');
}

function sparse(count: number): string {
  return Array.from({ length: count }, (_, i) => `"${i * 1_000}":0`).join(',');
}

/** Fills a body up to nearly the maximum size. */
function filled(start: string, end: string, filling = 'x'): string {
  const room = maxBodyBytes - 1_000 - Buffer.byteLength(start) - Buffer.byteLength(end);
  return start + filling.repeat(Math.max(0, Math.floor(room / filling.length))) + end;
}

/** A review of a pod with a large annotation. */
export function buildLargeReview(megabytes: number, namespace = 'hanging'): string {
  const annotations = { large: 'x'.repeat(megabytes * MiB) };
  const containers = [{ image: '123456789012.dkr.ecr.eu-central-1.amazonaws.com/app:1' }];
  return serializeReview(namespace, { metadata: { name: 'app', annotations }, spec: { containers } });
}

/** A review of a pod with `count` images, each of another ECR registry. */
export function buildReviewWithHosts(count: number, namespace: string): string {
  const containers = Array.from({ length: count }, (_, index) => ({
    image: `${100_000_000_000 + index}.dkr.ecr.eu-central-1.amazonaws.com/app:1`,
  }));
  return serializeReview(namespace, { metadata: { name: 'app' }, spec: { containers } });
}

function serializeReview(namespace: string, pod: unknown): string {
  return JSON.stringify(buildPodReview(pod, { namespace }));
}
