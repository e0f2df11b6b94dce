import { closest, distance } from 'fastest-levenshtein';
import type * as v from 'valibot';
import { isObject } from '../util/json.ts';

/** One thing that is wrong with a configuration. */
export interface Problem {
  /** Where, as `registries[0].roleArn`; empty for the file as a whole. */
  readonly path: string;
  /** What was expected there, and what was found. */
  readonly text: string;
}

/** Every key that the schema does not know, each with the nearest one that it does. */
export function findUnknownKeys(schema: unknown, value: unknown, path = ''): Problem[] {
  const known = unwrap(schema);
  if (isSchema(known, 'array') && Array.isArray(value)) {
    return value.flatMap((item, index) => findUnknownKeys(known['item'], item, `${path}[${index}]`));
  }
  if (!isSchema(known, 'object')) {
    return [];
  }
  if (!isObject(value)) {
    // valibot takes a list for an object, and reports everything else by itself
    return Array.isArray(value) ? [{ path, text: 'must be settings by name, not a list' }] : [];
  }
  const entries = known['entries'];
  return Object.keys(value).flatMap((key) => {
    const place = path === '' ? key : `${path}.${key}`;
    return isObject(entries) && Object.hasOwn(entries, key)
      ? findUnknownKeys(entries[key], value[key], place)
      : [
          {
            path: place,
            text: `is not known${suggestKey(key, isObject(entries) ? Object.keys(entries) : [])}`,
          },
        ];
  });
}

/** A problem that valibot found, in our words: the schema's messages say what was expected. */
export function toProblem(issue: v.BaseIssue<unknown>): Problem {
  const path = (issue.path ?? []).reduce(
    (text, item) => (typeof item.key === 'number' ? `${text}[${item.key}]` : `${text}.${item.key}`),
    '',
  );
  const missing = issue.received === 'undefined';
  const given: unknown = issue.path?.at(-1)?.value;
  const received = typeof given === 'string' ? JSON.stringify(given) : issue.received; // not a duration's milliseconds
  return {
    path: path.replace(/^\./, ''),
    text: missing ? 'is required' : `must be ${issue.message}, not ${received}`,
  };
}

function suggestKey(key: string, known: readonly string[]): string {
  const nearest = closest(key, [...known]);
  const near =
    nearest !== undefined && distance(key.toLowerCase(), nearest.toLowerCase()) <= Math.ceil(key.length / 3);
  return near ? `; did you mean ${nearest}?` : `; known here: ${known.join(', ')}`;
}

/** The schema inside `optional`; a pipe keeps the type of its first schema, so it needs no unwrapping. */
function unwrap(schema: unknown): unknown {
  return isSchema(schema, 'optional') ? unwrap(schema['wrapped']) : schema;
}

function isSchema(value: unknown, type: string): value is Record<string, unknown> {
  return isObject(value) && value['type'] === type;
}
