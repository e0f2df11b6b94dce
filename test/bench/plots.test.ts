// Checks that the plots and the tables of docs/performance.md show the committed results.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { before, describe, it } from 'node:test';
import { generateFiles } from '../../bench/plots.ts';

describe('docs/performance.md', () => {
  let files: ReadonlyMap<string, string>;
  before(async () => {
    files = await generateFiles();
  });

  it('shows the results in bench/results (update it with npm run bench:plots)', async () => {
    for (const [file, content] of files) {
      // The message names the file. A diff of an SVG file would be too long to read.
      assert.ok(content === (await readFile(file, 'utf8')), `${file} does not match bench/results`);
    }
  });

  it('shows each plot, with a title and a description', async () => {
    const page = await readFile(new URL('../../docs/performance.md', import.meta.url), 'utf8');
    const plots = [...files].filter(([file]) => file.endsWith('.svg'));
    assert.equal(plots.length, 3);
    for (const [file, svg] of plots) {
      assert.match(svg, /<title id="title">[^<]+<\/title>\n<desc id="description">[^<]+<\/desc>/, file);
      assert.match(svg, /prefers-color-scheme: dark/, file);
      assert.ok(page.includes(`](images/${basename(file)})`), `${basename(file)} is not on the page`);
    }
  });
});
