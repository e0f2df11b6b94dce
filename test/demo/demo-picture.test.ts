// Checks that docs/images/demo.svg shows what the demo prints now.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { drawDemo, pictureFile, recordDemo } from '../../demo/picture.ts';
import { renderTerminal } from '../../demo/terminal-svg.ts';

describe('the picture of the demo', () => {
  it('shows the current output (update it with npm run docs:demo)', async () => {
    assert.equal(await readFile(pictureFile, 'utf8'), drawDemo(await recordDemo()));
  });

  it('escapes text and keeps bold and colours', () => {
    const picture = renderTerminal(
      'a <b> & "c"\n\u001b[1mbold\u001b[22m \u001b[33myellow\u001b[39m\u001b[35mplain',
      {
        title: 'x < y',
        description: '',
        command: 'run',
      },
    );
    assert.match(picture, /<title id="title">x &lt; y<\/title>/);
    assert.match(picture, />a &lt;b&gt; &amp; &quot;c&quot;<\/text>/);
    assert.match(
      picture,
      /<tspan class="bold">bold<\/tspan> <tspan class="yellow">yellow<\/tspan>plain<\/text>/,
    );
  });

  it('wraps long lines at the width of the terminal and keeps their style', () => {
    const options = { title: '', description: '', command: 'run', columns: 6 };
    const picture = renderTerminal('ab\u001b[31mcdefgh\u001b[0mi', options);
    assert.match(picture, />ab<tspan class="red">cdef<\/tspan><\/text>/);
    assert.match(picture, />\n<text [^>]+><tspan class="red">gh<\/tspan>i<\/text>/);
  });
});
