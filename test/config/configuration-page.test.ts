// The page docs/reference/configuration.md names every setting of the schema, with its default and its bounds.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { configSchema } from '../../src/config/schema.ts';

interface Setting {
  readonly path: string;
  /** The default in the schema; undefined if the setting has none. */
  readonly default: unknown;
  readonly bounds: string | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** Settings of the schema, without groups that hold only others. */
function settingsOf(node: unknown, path: string, defaultValue?: unknown): Setting[] {
  const { type, wrapped, entries, item, pipe, value } = node as Fields;
  if (type === 'optional') {
    const own = (node as Fields)['default'];
    return settingsOf(wrapped, path, typeof own === 'function' ? own() : own);
  }
  if (type === 'object') {
    const prefix = path === '' ? '' : `${path}.`;
    return Object.entries(entries as Fields).flatMap(([key, entry]) => settingsOf(entry, prefix + key));
  }
  const own = { path, default: defaultValue, bounds: boundsOf(pipe) };
  if (type === 'record' && (value as Fields)['type'] === 'object') {
    return [own, ...settingsOf(value, `${path}.HOST`)];
  }
  return (item as Fields | undefined)?.['type'] === 'object'
    ? [own, ...settingsOf(item, `${path}[]`)]
    : [own];
}

/** `1s to 1m`, of the message of a check that has a lower and an upper bound. */
function boundsOf(pipe: unknown): string | undefined {
  const messages = Array.isArray(pipe) ? pipe.map((action: Fields) => String(action['message'])) : [];
  return messages.map((message) => /from (\S+ to \S+)$/.exec(message)?.[1]).find(Boolean);
}

interface Row {
  readonly default: string;
  readonly bounds: string;
}

/** Rows of all tables that begin with a key, by key. */
function rowsOf(page: string): Map<string, Row> {
  const rows = page
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .filter((cells) => cells.length === 7 && /^`[\w.[\]]+`$/.test(cells[1] ?? ''));
  return new Map(
    rows.map(([, key = '', , defaultText = '', bounds = '']) => [
      key.replaceAll('`', ''),
      { default: defaultText, bounds },
    ]),
  );
}

function textOf(value: unknown): string {
  const text = Array.isArray(value) ? `[${value.join(', ')}]` : isEmptyMapping(value) ? '{}' : String(value);
  return text === '' ? '`""`' : `\`${text}\``;
}

function isEmptyMapping(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

describe('the page of the configuration', () => {
  const rows = rowsOf(readFileSync('docs/reference/configuration.md', 'utf8'));
  const settings = settingsOf(configSchema, '');

  it('has a row for each setting, and no others', () => {
    assert.deepEqual([...rows.keys()].sort(), settings.map(({ path }) => path).sort());
  });

  for (const { path, default: value, bounds } of settings) {
    it(`has the default and the bounds of ${path}`, () => {
      const row = rows.get(path);
      if (value === undefined) {
        assert.doesNotMatch(row?.default ?? '', /^`[^`]*`$/);
      } else {
        assert.equal(row?.default, textOf(value));
      }
      if (bounds !== undefined) {
        assert.equal(row?.bounds, bounds);
      }
    });
  }
});
