// Tests the workflows: actions pinned by commit, and releases made by the script that the dry run covers.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';

const folder = join(import.meta.dirname, '../../.github/workflows');

describe('the workflows', () => {
  it('pin every action by commit, with its version as a comment', () => {
    const lines = readdirSync(folder).flatMap((file) =>
      [...readFileSync(join(folder, file), 'utf8').matchAll(/^ *(?:- )?uses: (.*)$/gm)].map(
        ([, action]) => `${file}: ${action}`,
      ),
    );
    assert.ok(lines.length > 10);
    const pinned = /^\S+: [\w.-]+\/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/;
    assert.deepEqual(
      lines.filter((line) => !pinned.test(line)),
      [],
    );
  });

  it('release with the script, and sign and attest what it published', () => {
    const { permissions, jobs } = parse(readFileSync(join(folder, 'release.yml'), 'utf8'));
    assert.deepEqual(permissions, {});
    const steps: { run?: string; uses?: string; with?: Record<string, string> }[] = jobs.release.steps;
    const commands = steps.map(({ run = '' }) => run).join('\n');
    const order = [
      'npm run release -- prepare',
      'npm run release -- publish',
      'npm run release -- sign',
      'gh release create',
    ];
    const positions = order.map((command) => commands.indexOf(command));
    assert.ok(!positions.includes(-1), String(positions));
    assert.deepEqual(
      positions.toSorted((a, b) => a - b),
      positions,
    );
    const attested = steps.filter(({ uses }) => uses?.startsWith('actions/attest-build-provenance@'));
    assert.deepEqual(
      attested.map((step) => step.with?.['subject-digest'] ?? step.with?.['subject-checksums']),
      [
        // biome-ignore lint/suspicious/noTemplateCurlyInString: an expression of GitHub Actions
        '${{ steps.publish.outputs.image-digest }}',
        // biome-ignore lint/suspicious/noTemplateCurlyInString: an expression of GitHub Actions
        '${{ steps.publish.outputs.chart-digest }}',
        'dist/release/assets/checksums.txt',
      ],
    );
  });
});
