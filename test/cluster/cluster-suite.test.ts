// Tests that suites are skipped with a reason, or fail in CI, if no API server is available.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { isCi } from './cluster-suite.ts';

const emptyFolder = mkdtempSync(join(tmpdir(), 'empty-'));
after(() => rmSync(emptyFolder, { recursive: true }));

describe('a suite without an available API server', () => {
  it('is skipped, with the reason, and counted', () => {
    const { code, output } = runWithoutBinaries({});
    assert.equal(code, 0, output);
    assert.match(
      output,
      /the cluster .*# NO REAL API SERVER: no KUBEBUILDER_ASSETS, .*no Go to build them with/,
    );
    assert.match(output, /^ℹ skipped 2$/m);
    assert.match(output, /^ℹ pass 0$/m);
  });

  it('fails in CI', () => {
    const { code, output } = runWithoutBinaries({ CI: 'true' });
    assert.equal(code, 1, output);
    assert.match(output, /^ℹ fail 2$/m);
  });

  it('shows the reason that test/run.ts found, and does not search again', () => {
    const { output } = runWithoutBinaries({ TEST_CLUSTER_UNAVAILABLE: 'the build failed' });
    assert.match(output, /the cluster .*# NO REAL API SERVER: the build failed/);
  });
});

it('CI is set with any value except an empty one, false and 0', () => {
  const cases = { true: true, '1': true, false: false, '0': false, '': false };
  for (const [value, expected] of Object.entries(cases)) {
    assert.equal(isCi({ CI: value }), expected, value);
  }
  assert.equal(isCi({}), false);
});

/** Runs the real cluster suite without binaries, cache and Go. */
function runWithoutBinaries(env: NodeJS.ProcessEnv): { code: number | null; output: string } {
  const file = join(import.meta.dirname, 'cluster.cluster.test.ts');
  const args = ['--test', '--test-reporter=spec', file];
  const environment = { PATH: emptyFolder, XDG_CACHE_HOME: emptyFolder, ...env };
  const result = spawnSync(process.execPath, args, { env: environment, encoding: 'utf8' });
  return { code: result.status, output: result.stdout + result.stderr };
}
