// Checks that each row of docs/explanation/failure-model.md names a test that exists.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

const page = readFileSync(new URL('../docs/explanation/failure-model.md', import.meta.url), 'utf8');
const rows = page
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| --') && !line.startsWith('| what fails'))
  .map((line) => line.split('|').map((cell) => cell.trim()));

describe('the page of failures', () => {
  it('has five cells in each row', () => {
    assert.ok(rows.length > 30);
    for (const row of rows) {
      assert.equal(row.length, 7, row.join(' | '));
    }
  });

  for (const [, fails = '', , , , test = ''] of rows) {
    it(`names a test: ${fails}`, () => {
      const { file = '', title = '' } = /^`(?<file>[\w./-]+)`: (?<title>.+)$/.exec(test)?.groups ?? {};
      const source = readFileSync(new URL(file, import.meta.url), 'utf8');
      const titles = [...source.matchAll(/\b(?:it|test)\(\s*(['`])(.*?)\1,/gs)].map(
        ([, , text]) => text ?? '',
      );
      assert.ok(
        titles.some((text) => text.includes(title)),
        `${file} has no test with "${title}" in its title`,
      );
    });
  }
});
