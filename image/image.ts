// Builds the image with the container engine of this machine: npm run image
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import packageJson from '../package.json' with { type: 'json' };
import { findBasePackages } from './base-packages.ts';
import { contentsOf, listing } from './contents.ts';
import { buildArguments, type Engine, findEngine, saveArguments } from './engine.ts';
import { type ImageFiles, readArchive } from './image-files.ts';
import { writeSbom } from './sbom.ts';

const usage = `Builds the image of the Dockerfile, with buildah or docker, and says what is in it.

  npm run image -- [--tag NAME:TAG] [--platform OS/ARCH[,OS/ARCH]]
  npm run image -- --sbom-only

dist/image.sbom.json (CycloneDX) lists what is in the image: the packages of the bundle, Node.js and the packages of the base
image. With --sbom-only or several platforms it lists only the packages of the bundle. See docs/how-to/build-the-image.md.
`;

const sbom = 'dist/image.sbom.json';
const bundle = 'dist/main.mjs';

async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      tag: { type: 'string', default: `ecr-pull-secrets:${packageJson.version}` },
      platform: { type: 'string' },
      'sbom-only': { type: 'boolean' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    return say(usage);
  }
  const engine = findEngine(process.env);
  if (engine === undefined && !values['sbom-only']) {
    throw new Error(
      'neither buildah nor docker with its daemon is here (on Debian: apt-get install buildah runc)',
    );
  }
  run(process.execPath, ['build.ts', bundle]);
  if (engine === undefined || values['sbom-only']) {
    writeSbom(sbom, `${bundle}.meta.json`);
    return say(`${sbom}: what the bundle is made of`);
  }
  run(engine, buildArguments(engine, values.tag, values.platform));
  say(`${values.tag}: built by ${engine}`);
  // A list of images has no contents of its own.
  const image = values.platform?.includes(',') ? undefined : await readImage(engine, values.tag);
  writeSbom(sbom, `${bundle}.meta.json`, image && findBasePackages(image));
  say(`${sbom}: what the ${image === undefined ? 'bundle' : 'image'} is made of`);
  if (image !== undefined) {
    say(listing(contentsOf(image)));
  }
}

async function readImage(engine: Engine, tag: string): Promise<ImageFiles> {
  const directory = mkdtempSync(join(tmpdir(), 'image-'));
  try {
    const archive = join(directory, 'image.tar');
    run(engine, saveArguments(engine, tag, archive));
    return await readArchive(archive);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function run(program: string, args: readonly string[]): void {
  const { status, error } = spawnSync(program, args, { stdio: 'inherit' });
  if (status !== 0) {
    throw error ?? new Error(`${program} ${args[0]} failed`);
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`npm run image: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
