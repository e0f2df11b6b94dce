// Tests that docs/reference/cli.md shows the current help of all commands.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { it } from 'node:test';
import { cliPage, cliPageFile } from './cli-page.ts';

it('docs/reference/cli.md is what npm run docs:cli makes of the help', async () => {
  const isCurrent = (await readFile(cliPageFile, 'utf8')) === cliPage();
  assert.ok(isCurrent, 'docs/reference/cli.md is out of date: run npm run docs:cli');
});
