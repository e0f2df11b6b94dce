// Tests that docs/reference/broken-setups.md shows the table of broken setups, and that the table is complete.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { it } from 'node:test';
import { matchesSummary } from './broken-setup.ts';
import { brokenSetups } from './broken-setups.ts';
import { brokenSetupsPage, brokenSetupsPageFile } from './broken-setups-page.ts';

it('docs/reference/broken-setups.md is what npm run docs:setups makes of the table', async () => {
  const isCurrent = (await readFile(brokenSetupsPageFile, 'utf8')) === brokenSetupsPage();
  assert.ok(isCurrent, 'docs/reference/broken-setups.md is out of date: run npm run docs:setups');
});

it('the table has thirty different setups', () => {
  assert.equal(new Set(brokenSetups.map(({ name }) => name)).size, 30);
});

it('the summary of each names something', () => {
  const vague = brokenSetups.filter(({ summary }) => summary.replace(/[…\s]/g, '').length < 20);
  assert.deepEqual(vague, []);
});

it('a summary matches with any text in place of the ellipses only', () => {
  assert.ok(matchesSummary('Secret … (type …) is …', 'Secret shop/a (type Opaque) is b'));
  assert.ok(matchesSummary('… is b', 'a is b'));
  assert.ok(!matchesSummary('Secret … is of type …', 'the Secret a is of type b'));
  assert.ok(!matchesSummary('a.c', 'abc'));
});
