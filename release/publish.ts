// Publishes a prepared release to registries, and writes what the GitHub release consists of.
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ImageIndex, readLayout } from '../image/image-files.ts';
import packageJson from '../package.json' with { type: 'json' };
import { assetsOf, type ReleaseFolders } from './release-folders.ts';
import { cutSection, makeLinksAbsolute } from './release-version.ts';
import { type ReleasedReferences, releaseMetadata, releaseReadme, releaseValues } from './released-chart.ts';
import { run } from './run.ts';

export interface PublishOptions {
  /** Registry and repository of the image, without a tag. */
  readonly image: string;
  /** Registry and folder of the chart, without its name. */
  readonly charts: string;
  /** Address of the repository on GitHub. */
  readonly repository: string;
  /** The registries offer no TLS. */
  readonly plainHttp: boolean;
  /** Take the notes from the unreleased changes, for a dry run. */
  readonly unreleased: boolean;
}

/** What was published, for the steps that sign it. References contain digests. */
export interface Published {
  readonly version: string;
  readonly image: string;
  /** The image for each platform. */
  readonly images: Readonly<Record<string, string>>;
  readonly chart: string;
}

const { name, version } = packageJson;

/** @throws {Error} if a program fails, or if a registry does not return what was pushed */
export async function publish(folders: ReleaseFolders, options: PublishOptions): Promise<Published> {
  const index = await readLayout(folders.image);
  pushImage(folders, index, options);
  const chart = publishChart(folders, index.digest, options);
  const published: Published = {
    version,
    image: `${options.image}@${index.digest}`,
    images: Object.fromEntries(
      index.images.map(({ platform, digest }) => [platform, `${options.image}@${digest}`]),
    ),
    chart: `${options.charts}/${name}@${chart}`,
  };
  writeKrewManifest(folders, options);
  writeChecksums(folders);
  writeFileSync(join(folders.root, 'notes.md'), createNotes(options, published));
  writeFileSync(join(folders.root, 'release.json'), `${JSON.stringify(published, undefined, 2)}\n`);
  return published;
}

function pushImage(folders: ReleaseFolders, index: ImageIndex, options: PublishOptions): void {
  const target = `docker://${options.image}:${version}`;
  const verify = `tls-verify=${!options.plainHttp}`;
  const flags = ['--all', '--preserve-digests', `--dest-${verify}`];
  run('skopeo', ['copy', ...flags, `oci:${folders.image}:${version}`, target]);
  const { stdout: manifest } = run('skopeo', ['inspect', '--raw', `--${verify}`, target]);
  requireEqual('the digest of the image', sha256(manifest), index.digest);
}

/**
 * Pushes the chart with the reference to the image, and pulls it back to check that it is the same.
 * @returns the digest of the chart in the registry
 */
export function publishChart(folders: ReleaseFolders, imageDigest: string, options: PublishOptions): string {
  const archive = join(folders.assets, assetsOf(version).chart);
  packageChart(folders, { ...options, version, imageDigest, files: filesOf(options) });
  const flags = options.plainHttp ? ['--plain-http'] : [];
  const pushed = digestIn(run('helm', ['push', archive, `oci://${options.charts}`, ...flags]));
  const folder = join(folders.root, 'pulled');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder);
  const chart = [`oci://${options.charts}/${name}`, '--version', version];
  const pulled = digestIn(run('helm', ['pull', ...chart, '--destination', folder, ...flags]));
  requireEqual('the digest of the chart', pulled, pushed);
  const content = readFileSync(join(folder, assetsOf(version).chart));
  requireEqual('the chart', sha256(content), sha256(readFileSync(archive)));
  return pushed;
}

function packageChart(folders: ReleaseFolders, references: ReleasedReferences): void {
  const folder = join(folders.root, 'chart', name);
  rmSync(folder, { recursive: true, force: true });
  cpSync(`charts/${name}`, folder, { recursive: true });
  const edit = (file: string, release: typeof releaseValues) => {
    const path = join(folder, file);
    writeFileSync(path, release(readFileSync(path, 'utf8'), references));
  };
  edit('Chart.yaml', releaseMetadata);
  edit('values.yaml', releaseValues);
  edit('README.md', releaseReadme);
  cpSync('LICENSE', join(folder, 'LICENSE'));
  mkdirSync(folders.assets, { recursive: true });
  run('helm', ['package', folder, '--destination', folders.assets]);
}

/** helm push and helm pull print the digest of the chart in the registry. */
function digestIn({ stdout, stderr }: { readonly stdout: string; readonly stderr: string }): string {
  const [, digest] = /^Digest: (sha256:[0-9a-f]{64})$/m.exec(`${stdout}\n${stderr}`) ?? [];
  if (digest === undefined) {
    throw new Error(`helm printed no digest: ${stdout}${stderr}`);
  }
  return digest;
}

function requireEqual(what: string, actual: string, expected: string): void {
  if (actual !== expected) {
    throw new Error(`${what} in the registry is ${actual}, but ${expected} was pushed`);
  }
}

function writeKrewManifest(folders: ReleaseFolders, { repository }: PublishOptions): void {
  const { commandLine, krew } = assetsOf(version);
  const uri = `${repository}/releases/download/v${version}/${commandLine}`;
  const archive = join(folders.assets, commandLine);
  const out = join(folders.assets, krew);
  run(process.execPath, ['plugins/krew.ts', '--archive', archive, '--uri', uri, '--out', out]);
}

/** Writes the checksums of all attachments in the format of `sha256sum`. */
function writeChecksums(folders: ReleaseFolders): void {
  const { checksums } = assetsOf(version);
  const names = readdirSync(folders.assets).filter((file) => file !== checksums);
  const lines = names.sort().map((file) => {
    const digest = sha256(readFileSync(join(folders.assets, file)));
    return `${digest.replace('sha256:', '')}  ${file}\n`;
  });
  writeFileSync(join(folders.assets, checksums), lines.join(''));
}

/** The notes are the section of the changelog, with links to the files of the release, and what was published. */
function createNotes(options: PublishOptions, { image, images, chart }: Published): string {
  const section = cutSection(
    readFileSync('CHANGELOG.md', 'utf8'),
    options.unreleased ? '[Unreleased]' : `[${version}]`,
  );
  const files = filesOf(options);
  const rows = Object.entries(images).map(([platform, reference]) => `| - ${platform} | \`${reference}\` |`);
  return `${makeLinksAbsolute(section, '', files)}

### Artifacts

| artifact | reference |
| --- | --- |
| image | \`${image}\` |
${rows.join('\n')}
| chart | \`oci://${chart}\` |

\`\`\`sh
helm install ${name} oci://${options.charts}/${name} --version ${version} -n ${name} --create-namespace
\`\`\`

Image, chart and checksums are signed: [verify a release](${files}/docs/how-to/verify-a-release.md).
`;
}

function filesOf({ repository }: PublishOptions): string {
  return `${repository}/blob/v${version}`;
}

function sha256(content: string | Buffer): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}
