// The page docs/reference/warnings.md lists every fixed cause that a kubectl warning can contain.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

describe('the page of warnings', () => {
  const page = read('docs/reference/warnings.md');
  const files = ['pull-secrets/unavailable-host', 'webhook/bounded-ensure', 'kube/refusal'];
  const causes = files.flatMap((file) =>
    [...read(`src/${file}.ts`).matchAll(/\b(?:text|shortText): '([^']+)'/g)].map(([, text = '']) => text),
  );

  it('contains each fixed cause', () => {
    assert.ok(causes.length >= 8, causes.join());
    const isInternalText = (text: string) => text === 'a match condition of an admission webhook failed';
    const missing = causes.filter((text) => !isInternalText(text) && !page.includes(`\`${text}\``));
    assert.deepEqual(missing, []);
  });
});
