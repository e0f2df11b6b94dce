// Builds an image like that of the Dockerfile without a registry.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Contents, contentsOf } from '../../image/contents.ts';
import { saveArguments } from '../../image/engine.ts';
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

export interface Twin {
  /** The unpacked image. */
  readonly rootfs: string;
  readonly config: ImageConfig;
  readonly contents: Contents;
}

/**
 * Builds, in a folder, what the Dockerfile builds: its last stage as it is written, over a base made of the node
 * of npm and the libraries that this machine has for it, since no registry is asked for a base image. buildah keeps its
 * own storage in that folder.
 */
export async function buildTwin(folder: string): Promise<Twin> {
  const buildah = (...args: string[]) =>
    execFileSync(requiredImagePrograms.builder, [...storageIn(folder), ...args], {
      cwd: root,
      encoding: 'utf8',
    });
  const base = join(folder, 'base');
  const built = join(folder, 'built');
  const dockerfile = join(folder, 'Dockerfile');
  makeBase(base);
  await bundleInto(join(built, 'app/dist/main.mjs'));
  writeFileSync(dockerfile, `FROM scratch\nCOPY --from=base / /\n${lastStage()}`);
  const contexts = [`base=${base}`, `build=${built}`].flatMap((context) => ['--build-context', context]);
  const from = ['--isolation', 'chroot', ...contexts, '--file', dockerfile, '--tag', 'twin', '.'];
  buildah('build', '--quiet', ...from);
  const archive = join(folder, 'image.tar');
  buildah(...saveArguments(requiredImagePrograms.builder, 'twin', archive));
  const container = buildah('from', 'twin').trim();
  return {
    rootfs: buildah('mount', container).trim(),
    config: JSON.parse(buildah('inspect', '--type', 'image', 'twin')).OCIv1.config,
    contents: await contentsOf(archive),
  };
}

/** With this storage driver nothing is mounted, so that removing the folder is enough. */
function storageIn(folder: string): string[] {
  return ['--root', join(folder, 'storage'), '--runroot', join(folder, 'run'), '--storage-driver', 'vfs'];
}

/** The Dockerfile after its last FROM. */
function lastStage(): string {
  const stages = readFileSync(join(root, 'Dockerfile'), 'utf8').split(/^FROM .*\n/m);
  return stages.at(-1) ?? '';
}

/** The folders and accounts of the base image that matter, and node where it has node. */
function makeBase(base: string): void {
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
  for (const library of librariesOf(node)) {
    copy(library, join(base, library));
  }
}

function copy(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

/** The libraries, and what loads them, by the report of a process that has them loaded. */
function librariesOf(node: string): string[] {
  const script =
    'process.report.excludeNetwork = true; JSON.stringify(process.report.getReport().sharedObjects)';
  const objects: string[] = JSON.parse(execFileSync(node, ['-p', script], { encoding: 'utf8' }));
  return objects.filter((object) => object.startsWith('/') && object !== node);
}
