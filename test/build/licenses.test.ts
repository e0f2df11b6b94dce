// Tests that the licenses of all packages in the bundle accompany it, and that packages without a permitted license stop the build.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Metafile } from 'esbuild';
import { type BundledPackage, findBundledPackages } from '../../build/bundled-packages.ts';
import { choosePermittedLicense, findLicenses, formatLicenses } from '../../build/licenses.ts';
import { bundleInto } from '../support/program.ts';

const root = join(import.meta.dirname, '../..');

describe('THIRD-PARTY-LICENSES', () => {
  let folder = '';
  let metafile: Metafile;
  let text = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'licenses-'));
    await bundleInto(join(folder, 'main.mjs'));
    metafile = JSON.parse(await readFile(join(folder, 'main.mjs.meta.json'), 'utf8'));
    text = await readFile(join(folder, 'THIRD-PARTY-LICENSES'), 'utf8');
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('contains each package of which the bundle contains code, with a license text', async () => {
    const files = Object.values(metafile.outputs).flatMap(({ inputs }) =>
      Object.entries(inputs).flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? [file] : [])),
    );
    const manifests = new Set(
      files.flatMap((file) => {
        const parts = file.split('/');
        const start = parts.lastIndexOf('node_modules') + 1;
        const end = parts[start]?.startsWith('@') ? start + 2 : start + 1;
        return start === 0 ? [] : [[...parts.slice(0, end), 'package.json'].join('/')];
      }),
    );
    const expected = await Promise.all(
      [...manifests].map(async (path) => {
        const { name, version } = JSON.parse(await readFile(join(root, path), 'utf8'));
        return `${name}@${version}`;
      }),
    );
    assert.ok(expected.length > 50, `${expected.length} packages`);
    const sections = text.split(/^={80}\n/m).slice(1);
    const heads = sections.filter((_, index) => index % 2 === 0);
    const texts = sections.filter((_, index) => index % 2 === 1);
    const listed = heads.flatMap((head) => [...head.matchAll(/^(\S+) \(/gm)].map(([, id]) => id));
    assert.deepEqual(listed.sort(), expected.sort());
    for (const [index, section] of texts.entries()) {
      assert.match(
        section,
        /permission is hereby granted|Redistribution and use|Permission to use, copy|Apache License|free and unencumbered|Blue Oak/i,
        heads[index],
      );
    }
  });

  it('names a package in each chunk of a bundle, and none whose code was all removed', () => {
    const input = (path: string) => ({ bytes: 1, imports: [{ path, kind: 'import-statement' as const }] });
    const output = (file: string, bytesInOutput: number) => ({
      bytes: 1,
      exports: [],
      imports: [],
      inputs: { [file]: { bytesInOutput } },
    });
    const { packages, imports } = findBundledPackages(
      {
        inputs: {
          'src/main.ts': input('node_modules/pino/pino.js'),
          'node_modules/pino/pino.js': input('node_modules/fastify/fastify.js'),
          'node_modules/fastify/fastify.js': { bytes: 1, imports: [] },
          'node_modules/yaml/index.js': { bytes: 1, imports: [] },
        },
        outputs: {
          'main.mjs': output('src/main.ts', 1),
          'one.mjs': output('node_modules/pino/pino.js', 1),
          'two.mjs': output('node_modules/fastify/fastify.js', 1),
          'three.mjs': output('node_modules/yaml/index.js', 0),
        },
      },
      root,
    );
    const folderOf = (name: string) => join(root, 'node_modules', name);
    assert.deepEqual(
      packages.map(({ name, imports }) => [name, imports]),
      [
        ['fastify', []],
        ['pino', [folderOf('fastify')]],
      ],
    );
    assert.deepEqual(imports, [folderOf('pino')]);
  });
});

describe('licenses of bundled packages', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'packages-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const create = async (
    name: string,
    license: string,
    files: Readonly<Record<string, string>> = {},
  ): Promise<BundledPackage> => {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, name, path)), { recursive: true });
      await writeFile(join(folder, name, path), text);
    }
    await mkdir(join(folder, name), { recursive: true });
    const described = { name, version: '1.0.0', license, author: 'Jane Doe', homepage: undefined };
    return { ...described, folder: join(folder, name), imports: [] };
  };

  it('come from the package, with its notices', async () => {
    const [found] = findLicenses([
      await create('own', 'Apache-2.0', {
        'LICENSE.md': '\n  The text\n\n',
        NOTICE: 'The notice',
        'license.js': 'module.exports = 1',
      }),
    ]);
    assert.deepEqual(found?.texts, ['  The text', 'The notice']);
  });

  it('come from the known texts if the package has no file, with its author', async () => {
    const text = formatLicenses(findLicenses([await create('bare', 'MIT')]));
    assert.match(text, /^bare@1\.0\.0 \(MIT\)$/m);
    assert.match(text, /^Copyright: Jane Doe\n\nPermission is hereby granted/m);
  });

  it('are refused if they are not permitted, unknown, or have no text, all at once', async () => {
    const packages = [
      await create('copyleft', 'GPL-3.0-only', { LICENSE: 'GPL' }),
      await create('silent', '', { LICENSE: 'All rights reserved' }),
      await create('textless', 'ISC'),
      await create('fine', 'ISC', { LICENSE: 'ISC' }),
    ];
    assert.throws(() => findLicenses(packages), {
      message: [
        'the bundle cannot be distributed:',
        'copyleft@1.0.0: license GPL-3.0-only is not permitted',
        'silent@1.0.0: license (none) is not permitted',
        'textless@1.0.0: has no license file, and build/license-texts does not contain ISC',
      ].join('\n  '),
    });
  });

  it('are chosen from alternatives, but not from combinations', () => {
    assert.equal(choosePermittedLicense('(BSD-3-Clause OR GPL-2.0)'), 'BSD-3-Clause');
    assert.equal(choosePermittedLicense('GPL-2.0 OR MIT'), 'MIT');
    for (const refused of [
      'MIT AND GPL-2.0',
      '(MIT AND GPL-2.0) OR GPL-3.0-only',
      'SEE LICENSE IN x',
      'mit',
    ]) {
      assert.equal(choosePermittedLicense(refused), undefined, refused);
    }
  });

  it('include the known text of Apache-2.0 as this project has it', async () => {
    const read = async (path: string) => (await readFile(join(root, path), 'utf8')).split('\n');
    const own = await read('LICENSE');
    const known = await read('build/license-texts/Apache-2.0.txt');
    assert.deepEqual(
      known.filter((line) => !own.includes(line)),
      ['   Copyright [yyyy] [name of copyright owner]'],
    );
    assert.equal(known.length, own.length);
  });
});
