// Changes the chart of the sources into the chart of a release, which names the released image.
import { type Document, isScalar, parseDocument } from 'yaml';
import { makeLinksAbsolute } from './release-version.ts';

/** Where a release is. */
export interface ReleasedReferences {
  readonly version: string;
  /** Registry and repository of the image, without a tag. */
  readonly image: string;
  /** Digest of the image index. */
  readonly imageDigest: string;
  /** Registry and folder of the chart, without its name. */
  readonly charts: string;
  /** Address of the files of the release, without a slash at the end. */
  readonly files: string;
}

/**
 * Returns Chart.yaml with the image, which Artifact Hub scans, and with links to the files of the release.
 * @throws {Error} if it does not link to the main branch
 */
export function releaseMetadata(chart: string, { version, image, imageDigest }: ReleasedReferences): string {
  const linked = chart.replaceAll('/main/', `/v${version}/`);
  if (linked === chart) {
    throw new Error('Chart.yaml does not link to the main branch');
  }
  const document = parseDocument(linked);
  const images = `- name: ecr-pull-secrets\n  image: ${image}@${imageDigest}\n`;
  document.setIn(['annotations', 'artifacthub.io/images'], images);
  return document.toString();
}

/** In the description of image.repository, in values.yaml and in the README. */
const sourceHint = / There is no public image yet: [^.|]*\./;

/**
 * Returns values.yaml with the repository and the digest of the released image.
 * @throws {Error} if values.yaml has no such values, or does not describe them as expected
 */
export function releaseValues(values: string, { image, imageDigest }: ReleasedReferences): string {
  const named = values.replace(sourceHint, '');
  if (named === values) {
    throw new Error('values.yaml does not say that there is no public image');
  }
  const withRepository = replaceScalar(named, ['image', 'repository'], image);
  return replaceScalar(withRepository, ['image', 'digest'], imageDigest);
}

function replaceScalar(text: string, path: readonly string[], value: string): string {
  const document: Document = parseDocument(text);
  const node = document.getIn(path, true);
  const range = isScalar(node) ? node.range : undefined;
  if (!range) {
    throw new Error(`values.yaml has no ${path.join('.')}`);
  }
  return `${text.slice(0, range[0])}${value}${text.slice(range[1])}`;
}

/**
 * Returns the README with the command that installs the released chart, its values, and links to the documentation of the release.
 * @throws {Error} if the README does not contain what has to be replaced
 */
export function releaseReadme(readme: string, references: ReleasedReferences): string {
  const { version, image, imageDigest, charts, files } = references;
  const command = /^(helm install [^\n]*?) charts\/ecr-pull-secrets(?= |$)/gm;
  const steps: readonly ((text: string) => string)[] = [
    (text) => text.replaceAll(command, `$1 oci://${charts}/ecr-pull-secrets --version ${version}`),
    (text) => replaceInRow(text, 'image.repository', '"ecr-pull-secrets"', `"${image}"`),
    (text) => replaceInRow(text, 'image.digest', '""', `"${imageDigest}"`),
    (text) => text.replace(sourceHint, ''),
  ];
  const released = steps.reduce((text, step, index) => {
    const result = step(text);
    if (result === text) {
      throw new Error(`replacement ${index + 1} of ${steps.length} does not apply to the chart's README`);
    }
    return result;
  }, readme);
  return makeLinksAbsolute(released, 'charts/ecr-pull-secrets/', files);
}

/** Replaces the default of a value in its row of the table of values. */
function replaceInRow(readme: string, value: string, from: string, to: string): string {
  const row = new RegExp(`^\\| *\`?${value.replaceAll('.', '\\.')}\`? *\\|.*$`, 'm');
  return readme.replace(row, (text) => text.replace(from, to));
}
