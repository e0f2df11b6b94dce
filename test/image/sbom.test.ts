// Tests the bill of materials against the schema of CycloneDX, and what it lists.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Spec, Validation } from '@cyclonedx/cyclonedx-library';
import { findBasePackages } from '../../image/base-packages.ts';
import type { ImageFiles } from '../../image/image-files.ts';
import { writeSbom } from '../../image/sbom.ts';
import { bundleInto } from '../support/program.ts';

interface Component {
  readonly name: string;
  readonly purl: string;
  readonly 'bom-ref': string;
  readonly [field: string]: unknown;
}

interface Sbom {
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn?: readonly string[] }[];
}

const image: ImageFiles = {
  compressedBytes: 0,
  files: new Map(
    Object.entries({
      'nodejs/bin/node': '\0https://nodejs.org/download/release/v24.9.1/node-v24.9.1-headers.tar.gz\0',
      'nodejs/LICENSE': 'Node.js is licensed for use as follows',
      'usr/lib/os-release': 'PRETTY_NAME="Distroless"\nVERSION_ID="12"\n',
      'var/lib/dpkg/status.d/libc6': 'Package: libc6\nVersion: 2.36-9+deb12u14\nArchitecture: arm64\n',
      'var/lib/dpkg/status.d/libc6.md5sums': 'Package: no\nVersion: 1\nArchitecture: all\n',
    }).map(([path, text]) => [path, Buffer.from(text)]),
  ),
};

describe('the bill of materials', () => {
  let folder = '';
  let metafile = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sbom-'));
    await bundleInto(join(folder, 'main.mjs'));
    metafile = join(folder, 'main.mjs.meta.json');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const create = async (...base: Parameters<typeof findBasePackages> | []): Promise<[Sbom, string]> => {
    const file = join(folder, 'image.sbom.json');
    writeSbom(file, metafile, base[0] && findBasePackages(base[0]));
    const text = await readFile(file, 'utf8');
    return [JSON.parse(text), text];
  };

  it('conforms to the schema of CycloneDX 1.6', async () => {
    const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
    for (const [, text] of [await create(), await create(image)]) {
      assert.equal(await validator.validate(text), null);
    }
    const broken = (await create(image))[1].replace('"type": "platform"', '"type": "runtime"');
    assert.notEqual(await validator.validate(broken), null);
  });

  it('lists the packages in the bundle with their hashes, and not those that build it', async () => {
    const [{ components, dependencies }] = await create();
    const names = components.map(({ name }) => name);
    assert.deepEqual([names.includes('fastify'), names.includes('esbuild')], [true, false]);
    const licenses = await readFile(join(folder, 'THIRD-PARTY-LICENSES'), 'utf8');
    assert.deepEqual(
      components.map(({ name, version }) => `${name}@${version}`).sort(),
      [...licenses.matchAll(/^(\S+@\d\S*) \(\S+\)$/gm)].map(([, id]) => id).sort(),
    );
    for (const { purl, hashes } of components) {
      assert.match(JSON.stringify(hashes), /^\[\{"alg":"SHA-512","content":"[0-9a-f]{128}"\}\]$/, purl);
    }
    // Every package is reachable from the program.
    const graph = new Map(dependencies.map(({ ref, dependsOn = [] }) => [ref, dependsOn]));
    const reached = new Set([...graph.keys()].filter((ref) => ref.startsWith('pkg:npm/ecr-pull-secrets@')));
    for (const ref of reached) {
      for (const dependency of graph.get(ref) ?? []) {
        reached.add(dependency);
      }
    }
    assert.deepEqual(
      components.map((component) => component['bom-ref']).filter((ref) => !reached.has(ref)),
      [],
    );
  });

  it('lists Node.js and the packages of the base image, by the names that scanners know', async () => {
    const [{ components }] = await create(image);
    const added = components.filter(({ purl }) => !purl.startsWith('pkg:npm/'));
    assert.deepEqual(
      added.map(({ purl, cpe }) => [purl, cpe]),
      [
        ['pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=arm64&distro=debian-12', undefined],
        ['pkg:generic/node@24.9.1', 'cpe:2.3:a:nodejs:node.js:24.9.1:*:*:*:*:*:*:*'],
      ],
    );
  });

  it('is the same text for the same image', async () => {
    assert.equal((await create(image))[1], (await create(image))[1]);
  });

  it('is refused for an image without Node.js, or without its license', () => {
    const without = (path: string) => ({
      ...image,
      files: new Map([...image.files].filter(([name]) => name !== path)),
    });
    assert.throws(() => findBasePackages(without('nodejs/bin/node')), /contains no Node\.js at \/nodejs/);
    assert.throws(() => findBasePackages(without('nodejs/LICENSE')), /license of Node\.js/);
  });
});
