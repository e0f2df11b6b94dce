// Tests npm run image without a container engine: the error, and the arguments for an engine.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildArguments } from '../../image/engine.ts';

const script = fileURLToPath(new URL('../../image/image.ts', import.meta.url));

describe('npm run image', () => {
  it('reports what is missing if no engine can build', () => {
    const { status, stderr } = spawnSync(process.execPath, [script], { env: { PATH: '' }, encoding: 'utf8' });
    assert.equal(status, 1);
    assert.match(stderr, /^npm run image: neither buildah nor docker with its daemon is here/);
  });

  it('passes tag and platform on, with an image index for several platforms in buildah', () => {
    assert.deepEqual(buildArguments('docker', 'a:1', undefined), ['build', '--tag', 'a:1', '.']);
    assert.deepEqual(buildArguments('buildah', 'a:1', 'linux/amd64,linux/arm64'), [
      ...['build', '--manifest', 'a:1', '--platform', 'linux/amd64,linux/arm64', '.'],
    ]);
  });
});
