// Tests the rules for files: allowed imports, unique names, and a comment with the purpose at the top.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = fileURLToPath(new URL('..', import.meta.url));

interface Cruised {
  readonly summary: {
    readonly totalCruised: number;
    readonly violations: readonly { rule: { name: string }; from: string; to: string }[];
  };
}

describe('source layout', () => {
  it('imports in the direction that .dependency-cruiser.cjs allows', async () => {
    const args = [
      'node_modules/dependency-cruiser/bin/dependency-cruiser.mjs',
      '--config',
      '.dependency-cruiser.cjs',
    ];
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [...args, '--output-type', 'json', 'src', 'certs-scripts', 'demo', 'bench'],
      { cwd: root, maxBuffer: 64 * 1024 * 1024 },
    );
    const { summary }: Cruised = JSON.parse(stdout);
    const violations = summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`);
    assert.deepEqual(violations, []);
    assert.ok(summary.totalCruised > 50, `only ${summary.totalCruised} files were checked`);
  });

  it('gives each file a unique name', () => {
    for (const folder of ['src', 'test', 'bench']) {
      const names = globSync(`${folder}/**/*.ts`, { cwd: root }).map((file) => basename(file));
      const repeated = names.filter((name, index) => name !== 'index.ts' && names.indexOf(name) !== index);
      assert.deepEqual(repeated, [], `names of several files in ${folder}/`);
    }
  });

  it('has a comment with its purpose on the first line of each file', () => {
    const files = globSync('{build.ts,{src,test,bench,demo,image,plugins,try,certs-scripts}/**/*.ts}', {
      cwd: root,
    });
    const without = files.filter((file) => {
      const text = readFileSync(join(root, file), 'utf8').replace(/^#!.*\n/, '');
      return !/^\/\/ \S+ \S+/.test(text);
    });
    assert.deepEqual(without, [], 'files without "// What the file contains or tests." on their first line');
    assert.ok(files.length > 400, `only ${files.length} files were checked`);
  });
});
