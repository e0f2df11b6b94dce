// Tests that suites are skipped with a reason, or fail in CI, if no API server is available.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { isCi } from './cluster-suite.ts';

const empty = mkdtempSync(join(tmpdir(), 'nothing-'));
after(() => rmSync(empty, { recursive: true }));

describe('a suite for which no API server can be had', () => {
  it('is skipped, with the reason, and counted', () => {
    const { code, output } = runWithNothing({});
    assert.equal(code, 0, output);
    assert.match(
      output,
      /the cluster .*# NO REAL API SERVER: no KUBEBUILDER_ASSETS, .*no Go to build them with/,
    );
    assert.match(output, /^ℹ skipped 2$/m);
    assert.match(output, /^ℹ pass 0$/m);
  });

  it('fails in CI', () => {
    const { code, output } = runWithNothing({ CI: 'true' });
    assert.equal(code, 1, output);
    assert.match(output, /^ℹ fail 2$/m);
  });

  it('gives the reason that test/run.ts found, and does not try again', () => {
    const { output } = runWithNothing({ TEST_CLUSTER_UNAVAILABLE: 'the build failed' });
    assert.match(output, /the cluster .*# NO REAL API SERVER: the build failed/);
  });
});

it('CI is set in every form but the two that say no', () => {
  const cases = { true: true, '1': true, false: false, '0': false, '': false };
  for (const [value, expected] of Object.entries(cases)) {
    assert.equal(isCi({ CI: value }), expected, value);
  }
  assert.equal(isCi({}), false);
});

/** Runs the real cluster suite where there are no binaries, no cache and no Go. */
function runWithNothing(env: NodeJS.ProcessEnv): { code: number | null; output: string } {
  const file = join(import.meta.dirname, 'cluster.cluster.test.ts');
  const args = ['--test', '--test-reporter=spec', file];
  const surroundings = { PATH: empty, XDG_CACHE_HOME: empty, ...env };
  const done = spawnSync(process.execPath, args, { env: surroundings, encoding: 'utf8' });
  return { code: done.status, output: done.stdout + done.stderr };
}
