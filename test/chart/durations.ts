// Durations of the program's settings, and their bounds as regular expressions for the chart's schema.
import assert from 'node:assert/strict';
import { getValueAt } from '../kube/secret-api-fixtures.ts';

/** Bounds in ms, both included. */
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

/** The most that the digits of a duration can say. */
const maxDigits = 999_999_999;

/** A pattern that durations between two bounds match, and no other text. Each begins without a zero, unless it is 0. */
export function durationPattern({ fromMs, toMs }: Bounds): string {
  const alternatives = units.flatMap(([unit, unitMs]) => {
    const from = Math.ceil(fromMs / unitMs);
    const to = Math.min(Math.floor(toMs / unitMs), maxDigits);
    return from <= to ? [`(${numbersBetween(from, to).join('|')})${unit}`] : [];
  });
  return `^(${alternatives.join('|')})$`;
}

/** Patterns of the whole numbers between two. */
function numbersBetween(from: number, to: number): string[] {
  const runs: { readonly first: string; readonly fewest: number; most: number }[] = [];
  for (let low = from; low <= to; ) {
    // the longest run of numbers that begins at `low` and differs in one digit and all that follow it
    let free = 0;
    while (low > 0 && low % 10 ** (free + 1) === 0 && low + 10 ** (free + 1) - 1 <= to) free += 1;
    const size = 10 ** free;
    const digit = Math.floor(low / size) % 10;
    const last = Math.min(9, digit + Math.floor((to - low + 1) / size) - 1);
    const first = `${Math.floor(low / size / 10) || ''}${last === digit ? digit : `[${digit}-${last}]`}`;
    const before = runs.at(-1);
    if (before?.first === first && before.most === free - 1) before.most = free;
    else runs.push({ first, fewest: free, most: free });
    low += (last - digit + 1) * size;
  }
  return runs.map(({ first, fewest, most }) => `${first}${anyDigits(fewest, most)}`);
}

function anyDigits(fewest: number, most: number): string {
  if (most === 0) return '';
  if (fewest === most) return most === 1 ? '[0-9]' : `[0-9]{${most}}`;
  return `[0-9]{${fewest},${most}}`;
}

/** The bounds of every duration in a schema of valibot, by path. @throws AssertionError for one without bounds */
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
  assert.ok(typeof fromMs === 'number' && typeof toMs === 'number', `${path} has no bounds: durationBetween`);
  return new Map([[path, { fromMs, toMs }]]);
}

/** What a pipe of valibot does, with the pipes within it. */
function actionsOf(schema: unknown): unknown[] {
  const pipe = getValueAt(schema, 'pipe');
  return Array.isArray(pipe) ? pipe.flatMap((one) => [one, ...(one === schema ? [] : actionsOf(one))]) : [];
}
