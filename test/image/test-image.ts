// Builds the image of the Dockerfile on a base image of this machine's files, so that no registry is needed.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Contents, contentsOf } from '../../image/contents.ts';
import { saveArguments } from '../../image/engine.ts';
import { type ImageFiles, readArchive } from '../../image/image-files.ts';
import { bundleInto } from '../support/program.ts';
import { requiredImagePrograms } from './image-tools.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** The configuration of the image that the Dockerfile sets. */
interface ImageConfig {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly WorkingDir: string;
}

export interface TestImage {
  /** The unpacked image. */
  readonly rootfs: string;
  readonly config: ImageConfig;
  readonly files: ImageFiles;
  readonly contents: Contents;
}

/**
 * Builds the last stage of the Dockerfile in a folder, which also contains the storage of buildah. The base image consists of
 * the Node.js of npm and the libraries of this machine, so that no registry is needed.
 */
export async function buildTestImage(folder: string): Promise<TestImage> {
  const buildah = (...args: string[]) =>
    execFileSync(requiredImagePrograms.builder, [...getStorageFlags(folder), ...args], {
      cwd: root,
      encoding: 'utf8',
    });
  const base = join(folder, 'base');
  const built = join(folder, 'built');
  const dockerfile = join(folder, 'Dockerfile');
  createBase(base);
  await bundleInto(join(built, 'app/dist/main.mjs'));
  writeFileSync(dockerfile, `FROM scratch\nCOPY --from=base / /\n${readLastStage()}`);
  const contexts = [`base=${base}`, `build=${built}`].flatMap((context) => ['--build-context', context]);
  const from = ['--isolation', 'chroot', ...contexts, '--file', dockerfile, '--tag', 'test', '.'];
  buildah('build', '--quiet', ...from);
  const archive = join(folder, 'image.tar');
  buildah(...saveArguments(requiredImagePrograms.builder, 'test', archive));
  const files = await readArchive(archive);
  const container = buildah('from', 'test').trim();
  return {
    rootfs: buildah('mount', container).trim(),
    config: JSON.parse(buildah('inspect', '--type', 'image', 'test')).OCIv1.config,
    files,
    contents: contentsOf(files),
  };
}

/** This storage driver mounts nothing, so that removing the folder is enough to clean up. */
function getStorageFlags(folder: string): string[] {
  return ['--root', join(folder, 'storage'), '--runroot', join(folder, 'run'), '--storage-driver', 'vfs'];
}

/** Returns the Dockerfile after its last FROM. */
export function readLastStage(): string {
  const stages = readFileSync(join(root, 'Dockerfile'), 'utf8').split(/^FROM .*\n/m);
  return stages.at(-1) ?? '';
}

/** Creates the folders and accounts of the base image that the program needs, and node at the same path. */
function createBase(base: string): void {
  for (const folder of ['dev', 'etc', 'proc', 'sys', 'tmp']) {
    mkdirSync(join(base, folder), { recursive: true });
  }
  chmodSync(join(base, 'tmp'), 0o1777);
  writeFileSync(
    join(base, 'etc/passwd'),
    'root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n',
  );
  const node = join(root, 'node_modules/node/bin/node');
  copy(node, join(base, 'nodejs/bin/node'));
  writeFileSync(join(base, 'nodejs/LICENSE'), 'Node.js is licensed for use as follows:\n');
  for (const library of findLibraries(node)) {
    copy(library, join(base, library));
  }
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

/** Returns the libraries of node and their loader, as the report of a node process lists them. */
function findLibraries(node: string): string[] {
  const script =
    'process.report.excludeNetwork = true; JSON.stringify(process.report.getReport().sharedObjects)';
  const objects: string[] = JSON.parse(execFileSync(node, ['-p', script], { encoding: 'utf8' }));
  return objects.filter((object) => object.startsWith('/') && object !== node);
}
