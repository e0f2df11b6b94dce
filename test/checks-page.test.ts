// The page docs/reference/checks.md has a row for every check of the diagnosis.
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { anchorsOf } from './support/markdown-anchors.ts';

const root = join(import.meta.dirname, '..');
const read = (file: string) => readFileSync(join(root, file), 'utf8');

/** Names of checks as the sources write them: `check: 'NAME'` or `check = 'NAME'`. */
const namePattern = /\bcheck(?::| =) '([a-z]+(?:-[a-z]+)+)'/g;
/** Pages as the sources write them: `page: 'PAGE'` or `page = 'PAGE'`. */
const pagePattern = /\bpage(?::| =) '([\w./-]+\.md)(?:#([\w-]+))?'/g;

const sources = globSync('src/{diagnosis,commands}/**/*.ts', { cwd: root });

describe('the page of checks', () => {
  it('has a row for every check', () => {
    const rows = new Set(
      [...read('docs/reference/checks.md').matchAll(/^\| `([a-z-]+)`/gm)].map(([, name]) => name),
    );
    const names = new Set(
      sources.flatMap((file) => [...read(file).matchAll(namePattern)].map(([, name]) => name)),
    );
    assert.ok(names.size > 10, `only ${names.size} checks were found; correct this test`);
    assert.deepEqual(
      [...names].filter((name) => !rows.has(name)),
      [],
      'explain these checks in docs/reference/checks.md',
    );
  });

  it('names pages and headings that exist', () => {
    const pages = sources.flatMap((file) => [...read(file).matchAll(pagePattern)]);
    assert.ok(pages.length > 10, `only ${pages.length} pages were found; correct this test`);
    const missing = pages.filter(([, page = '', heading]) => {
      const anchors = anchorsOf(read(`docs/${page}`));
      return heading !== undefined && !anchors.has(heading);
    });
    assert.deepEqual(
      missing.map(([text]) => text),
      [],
    );
  });
});
