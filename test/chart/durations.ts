// Finds the durations in the program's settings, and converts their bounds to regular expressions for the chart's schema.
import assert from 'node:assert/strict';
import { getValueAt } from '../kube/secret-api-fixtures.ts';

/** Inclusive bounds in ms. */
export interface Bounds {
  readonly fromMs: number;
  readonly toMs: number;
}

const units = [
  ['ms', 1],
  ['s', 1_000],
  ['m', 60_000],
  ['h', 3_600_000],
] as const;

/** The largest number that a duration can contain. */
const maxDigits = 999_999_999;

/** A pattern that exactly the durations within the bounds match. Numbers have no leading zero. */
export function durationPattern({ fromMs, toMs }: Bounds): string {
  const alternatives = units.flatMap(([unit, unitMs]) => {
    const from = Math.ceil(fromMs / unitMs);
    const to = Math.min(Math.floor(toMs / unitMs), maxDigits);
    return from <= to ? [`(${numbersBetween(from, to).join('|')})${unit}`] : [];
  });
  return `^(${alternatives.join('|')})$`;
}

/** Patterns that together match the integers from `from` to `to`. */
function numbersBetween(from: number, to: number): string[] {
  const runs: { readonly first: string; readonly minFree: number; maxFree: number }[] = [];
  for (let low = from; low <= to; ) {
    // Find the longest run of numbers that starts at `low` and differs in one digit and those after it.
    let free = 0;
    while (low > 0 && low % 10 ** (free + 1) === 0 && low + 10 ** (free + 1) - 1 <= to) {
      free += 1;
    }
    const size = 10 ** free;
    const digit = Math.floor(low / size) % 10;
    const last = Math.min(9, digit + Math.floor((to - low + 1) / size) - 1);
    const first = `${Math.floor(low / size / 10) || ''}${last === digit ? digit : `[${digit}-${last}]`}`;
    const before = runs.at(-1);
    if (before?.first === first && before.maxFree === free - 1) {
      before.maxFree = free;
    } else {
      runs.push({ first, minFree: free, maxFree: free });
    }
    low += (last - digit + 1) * size;
  }
  return runs.map(({ first, minFree, maxFree }) => `${first}${anyDigits(minFree, maxFree)}`);
}

function anyDigits(min: number, max: number): string {
  if (max === 0) {
    return '';
  }
  if (min === max) {
    return max === 1 ? '[0-9]' : `[0-9]{${max}}`;
  }
  return `[0-9]{${min},${max}}`;
}

/**
 * Returns the bounds of every duration in a valibot schema, by path.
 * @throws {AssertionError} if a duration has no bounds
 */
export function durationsIn(schema: unknown, path = ''): ReadonlyMap<string, Bounds> {
  const wrapped = getValueAt(schema, 'wrapped') ?? schema;
  const entries = getValueAt(wrapped, 'entries');
  if (typeof entries === 'object' && entries !== null) {
    return new Map(
      Object.entries(entries).flatMap(([key, value]) => [
        ...durationsIn(value, path === '' ? key : `${path}.${key}`),
      ]),
    );
  }
  const actions = actionsOf(wrapped);
  if (!actions.some((action) => String(getValueAt(action, 'requirement')).includes('(ms|s|m|h)'))) {
    return new Map();
  }
  const bound = (type: string) =>
    getValueAt(
      actions.find((action) => getValueAt(action, 'type') === type),
      'requirement',
    );
  const [fromMs, toMs] = [bound('min_value'), bound('max_value')];
  assert.ok(
    typeof fromMs === 'number' && typeof toMs === 'number',
    `${path} has no bounds; use durationBetween`,
  );
  return new Map([[path, { fromMs, toMs }]]);
}

/** The actions of a valibot pipe, including nested pipes. */
function actionsOf(schema: unknown): unknown[] {
  const pipe = getValueAt(schema, 'pipe');
  return Array.isArray(pipe) ? pipe.flatMap((one) => [one, ...(one === schema ? [] : actionsOf(one))]) : [];
}
