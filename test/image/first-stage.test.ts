// Tests the first stage of the Dockerfile without an engine: what it copies is enough to bundle the program.
import assert from 'node:assert/strict';
import { cpSync, existsSync, readFileSync, symlinkSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { it } from 'node:test';
import { runProgram } from '../support/run-program.ts';

const root = join(import.meta.dirname, '../..');

it('the first stage installs packages without their scripts, and bundles the program from what it copies', async (t) => {
  const [, stage = ''] = readFileSync(join(root, 'Dockerfile'), 'utf8').split(/^FROM .*\n/m);
  const instructions = (name: string) =>
    [...stage.matchAll(new RegExp(`^${name} (.*)$`, 'gm'))].map(([, text = '']) => text);
  assert.deepEqual(instructions('RUN'), ['npm ci --ignore-scripts', 'npm run bundle']);

  const context: readonly string[] =
    readFileSync(join(root, '.dockerignore'), 'utf8').match(/(?<=^!).*$/gm) ?? [];
  const copied = instructions('COPY').flatMap((text) => text.split(' ').slice(0, -1));
  assert.deepEqual(
    copied.filter((path) => !context.includes(path)),
    [],
    'in the build context',
  );
  const folder = await mkdtemp(join(tmpdir(), 'first-stage-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const path of copied) {
    cpSync(join(root, path), join(folder, path), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const env = { ...process.env, PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH']}` };
  const { code, stderr } = await runProgram('npm', ['run', 'bundle'], { cwd: folder, env });
  assert.equal(code, 0, stderr);

  // The last stage copies only files that the first stage has.
  const last =
    readFileSync(join(root, 'Dockerfile'), 'utf8')
      .split(/^FROM .*\n/m)
      .at(-1) ?? '';
  const [, from = ''] = /^COPY --from=build (.*) \S+$/m.exec(last) ?? [];
  const files = from.split(' ');
  assert.ok(files.includes('/app/dist/THIRD-PARTY-LICENSES'));
  for (const file of files) {
    assert.ok(existsSync(file.replace('/app', folder)), file);
  }
});
