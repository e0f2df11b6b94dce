// Describes what is wrong with a configuration: unknown keys, and values that the schema rejects.
import { closest, distance } from 'fastest-levenshtein';
import type * as v from 'valibot';
import { isObject } from '../util/json.ts';

/** One problem of a configuration. */
export interface Problem {
  /** The key, for example `registries[0].roleArn`; empty for the file as a whole. */
  readonly path: string;
  /** What is wrong with it, so that key and text form a sentence. */
  readonly text: string;
}

export function formatProblem({ path, text }: Problem): string {
  return path === '' ? text : `${path} ${text}`;
}

/** Returns a problem for each key that is not in the schema, with the most similar known key. */
export function findUnknownKeys(schema: unknown, value: unknown, path = ''): Problem[] {
  const known = unwrap(schema);
  if (isSchema(known, 'array') && Array.isArray(value)) {
    return value.flatMap((item, index) => findUnknownKeys(known['item'], item, `${path}[${index}]`));
  }
  if (isSchema(known, 'record') && isObject(value)) {
    return Object.keys(value).flatMap((key) =>
      findUnknownKeys(known['value'], value[key], joinPath(path, key)),
    );
  }
  if (!isSchema(known, 'object') && !isSchema(known, 'record')) {
    return [];
  }
  if (!isObject(value)) {
    // valibot accepts an array as an object or record; it reports everything else itself.
    return Array.isArray(value) ? [{ path, text: 'must be a mapping, not a list' }] : [];
  }
  const entries = known['entries'];
  return Object.keys(value).flatMap((key) => {
    const place = path === '' ? formatKey(key) : `${path}.${formatKey(key)}`;
    return isObject(entries) && Object.hasOwn(entries, key)
      ? findUnknownKeys(entries[key], value[key], place)
      : [
          {
            path: place,
            text: `is not a known key${suggestKey(key, isObject(entries) ? Object.keys(entries) : [])}`,
          },
        ];
  });
}

/** Converts an issue of valibot to a problem. The messages in the schema state what is expected. */
export function toProblem(issue: v.BaseIssue<unknown>): Problem {
  const path = (issue.path ?? []).reduce(
    (text, item) =>
      typeof item.key === 'number' ? `${text}[${item.key}]` : joinPath(text, String(item.key)),
    '',
  );
  const isMissing = issue.received === 'undefined';
  const value: unknown = issue.path === undefined ? issue.input : issue.path.at(-1)?.value;
  // A duration is quoted as the operator wrote it, not in milliseconds.
  const received = typeof value === 'string' ? quote(value) : issue.received;
  if (issue.path?.at(-1)?.origin === 'key' && typeof issue.input === 'string') {
    return { path, text: issue.message }; // the key of a record is the problem, not its value
  }
  return {
    path,
    text: isMissing ? 'is required' : `must be ${issue.message}, not ${received}`,
  };
}

/** Appends a key of a setting, or a host name, which is quoted in brackets. */
export function joinPath(path: string, key: string): string {
  if (!/^\w+$/.test(key)) {
    return `${path}[${quote(key)}]`;
  }
  return path === '' ? key : `${path}.${key}`;
}

function formatKey(key: string): string {
  return /^[\w./-]{1,100}$/.test(key) ? key : quote(key);
}

/** Maximum number of characters of a key or value that a problem shows. */
const maxShownLength = 200;

function quote(text: string): string {
  return `${JSON.stringify(text.slice(0, maxShownLength))}${text.length > maxShownLength ? '...' : ''}`;
}

function suggestKey(key: string, known: readonly string[]): string {
  const nearest = closest(key, [...known]);
  const isSimilar =
    nearest !== undefined && distance(key.toLowerCase(), nearest.toLowerCase()) <= Math.ceil(key.length / 3);
  return isSimilar ? `; did you mean ${nearest}?` : `; known keys: ${known.join(', ')}`;
}

/** Returns the schema inside `optional`. A pipe has the type of its first schema, so it needs no unwrapping. */
function unwrap(schema: unknown): unknown {
  return isSchema(schema, 'optional') ? unwrap(schema['wrapped']) : schema;
}

function isSchema(value: unknown, type: string): value is Record<string, unknown> {
  return isObject(value) && value['type'] === type;
}
