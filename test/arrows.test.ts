import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
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

describe('the arrows between the rooms', () => {
  it('are as docs/architecture.md draws them', async () => {
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
    const told = summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`);
    assert.deepEqual(told, []);
    assert.ok(summary.totalCruised > 50, `only ${summary.totalCruised} files were looked at`);
  });
});
