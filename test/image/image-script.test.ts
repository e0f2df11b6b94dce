// Tests npm run image without a container engine: the error, the arguments for an engine, and the list of bundled packages.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildArguments } from '../../image/engine.ts';
import { writeSbom } from '../../image/sbom.ts';

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

  it('lists the packages in the bundle, and not those that build it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sbom-'));
    const file = join(folder, 'image.sbom.json');
    writeSbom(file);
    const { bomFormat, metadata, components } = JSON.parse(await readFile(file, 'utf8'));
    await rm(folder, { recursive: true, force: true });
    assert.deepEqual([bomFormat, metadata.component.name], ['CycloneDX', 'ecr-pull-secrets']);
    const names: unknown[] = components.map(({ name }: { name: unknown }) => name);
    assert.deepEqual([names.includes('fastify'), names.includes('esbuild')], [true, false]);
  });
});
