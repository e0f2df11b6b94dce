// Builds what a release consists of, without a registry: the image for each platform, their bills of materials, and the npm package.
import { randomUUID } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { licensesFileName } from '../build/licenses.ts';
import { findBasePackages } from '../image/base-packages.ts';
import { type PlatformImage, readLayout } from '../image/image-files.ts';
import { writeSbom } from '../image/sbom.ts';
import packageJson from '../package.json' with { type: 'json' };
import { assetsOf, type ReleaseFolders } from './release-folders.ts';
import { findReleaseProblems } from './release-version.ts';
import { run } from './run.ts';

/** The platforms of a release. */
const platforms: readonly string[] = ['linux/amd64', 'linux/arm64'];

/** The license files that an image must contain. */
const requiredFiles: readonly string[] = ['app/main.mjs', 'app/LICENSE', `app/${licensesFileName}`];

export interface PrepareOptions {
  readonly tag: string | undefined;
  readonly unreleased: boolean;
  /** Labels of the image, as NAME=VALUE. */
  readonly labels: readonly string[];
  readonly dockerfile: string;
  /** Folders that replace stages or images of the Dockerfile, as NAME=FOLDER. */
  readonly buildContexts: readonly string[];
}

/** @throws {Error} with all problems if the sources do not state one version, or if a program fails */
export async function prepare(folders: ReleaseFolders, options: PrepareOptions): Promise<void> {
  const problems = findReleaseProblems({
    tag: options.tag,
    packageVersion: packageJson.version,
    chart: parse(readFileSync('charts/ecr-pull-secrets/Chart.yaml', 'utf8')),
    changelog: readFileSync('CHANGELOG.md', 'utf8'),
    unreleased: options.unreleased,
  });
  if (problems.length > 0) {
    throw new Error(problems.join('\n  '));
  }
  rmSync(folders.root, { recursive: true, force: true });
  mkdirSync(folders.assets, { recursive: true });
  packCommandLine(folders);
  buildImage(folders, options);
  const { images } = await readLayout(folders.image);
  const built = images.map(({ platform }) => platform).sort();
  if (built.join() !== [...platforms].sort().join()) {
    throw new Error(`the image index contains ${built.join(', ') || 'no images'}`);
  }
  for (const image of images) {
    describeImage(image, folders);
  }
}

/** Also bundles the program into dist/, which the bills of materials and the licenses are taken from. */
function packCommandLine(folders: ReleaseFolders): void {
  run('npm', ['pack', '--pack-destination', folders.assets]);
  // The archive of the chart has the name that npm pack uses.
  renameSync(
    join(folders.assets, `${packageJson.name}-${packageJson.version}.tgz`),
    join(folders.assets, assetsOf(packageJson.version).commandLine),
  );
  cpSync(`dist/${licensesFileName}`, join(folders.assets, licensesFileName));
}

/** Builds all platforms with buildah into a folder in the OCI image layout. */
function buildImage(folders: ReleaseFolders, options: PrepareOptions): void {
  // A manifest list that exists already would be extended.
  const list = `localhost/release-${randomUUID()}`;
  const flags = [
    ...options.labels.flatMap((label) => ['--label', label]),
    ...options.buildContexts.flatMap((context) => ['--build-context', context]),
  ];
  const target = ['--manifest', list, '--platform', platforms.join(), '--format', 'oci'];
  try {
    run('buildah', ['build', ...target, ...flags, '--file', options.dockerfile, '.']);
    run('buildah', ['manifest', 'push', '--all', list, `oci:${folders.image}:${packageJson.version}`]);
  } finally {
    run('buildah', ['manifest', 'rm', list]);
  }
}

/** Writes the bill of materials of the image for one platform, after a check of its contents. */
function describeImage(image: PlatformImage, folders: ReleaseFolders): void {
  const missing = requiredFiles.filter((path) => !image.files.has(path));
  if (missing.length > 0) {
    throw new Error(`the image for ${image.platform} does not contain /${missing.join(' and /')}`);
  }
  const packed = readFileSync(join(folders.assets, licensesFileName));
  if (image.files.get(`app/${licensesFileName}`)?.equals(packed) !== true) {
    throw new Error(`the image for ${image.platform} has other licenses than the bundle of this machine`);
  }
  const file = join(folders.assets, assetsOf(packageJson.version).sbom(image.platform));
  writeSbom(file, 'dist/main.mjs.meta.json', findBasePackages(image));
}
