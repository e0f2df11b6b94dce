// Collects the licenses of the packages in the bundle, and refuses packages whose license is missing or not permitted.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BundledPackage } from './bundled-packages.ts';

/** The file that accompanies every copy of the bundle: in the image and in the npm package. */
export const licensesFileName = 'THIRD-PARTY-LICENSES';

/** Permissive licenses. Whoever adds one has read it: copyleft, source-available and unknown licenses do not belong here. */
const permittedLicenses: readonly string[] = [
  '0BSD',
  'Apache-2.0',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'ISC',
  'MIT',
  'Unlicense',
];

/** The licenses of which this folder has the text, for packages without a license file. */
const knownTexts: readonly string[] = ['Apache-2.0', 'MIT'];

const licenseFile = /^(licen[cs]e|copying|unlicense)/i;
const noticeFile = /^(notice|copyright)/i;
const codeFile = /[.](c|m)?(js|ts)$/i;

/** A package with the license that applies to its copy in the bundle. */
export interface LicensedPackage extends BundledPackage {
  /** The SPDX identifier of the license that was chosen from the package's expression. */
  readonly chosenLicense: string;
  /** Text of the license, then of the notices of the package. */
  readonly texts: readonly string[];
}

/**
 * Finds the license and its text for each package.
 * @throws {Error} that names every package with a license that is not permitted, or without a text
 */
export function findLicenses(packages: readonly BundledPackage[]): LicensedPackage[] {
  const licensed: LicensedPackage[] = [];
  const problems: string[] = [];
  for (const bundled of packages) {
    const chosenLicense = choosePermittedLicense(bundled.license);
    const texts = chosenLicense === undefined ? [] : readTexts(bundled, chosenLicense);
    if (chosenLicense === undefined) {
      problems.push(`${idOf(bundled)}: license ${bundled.license || '(none)'} is not permitted`);
    } else if (texts.length === 0) {
      problems.push(
        `${idOf(bundled)}: has no license file, and build/license-texts does not contain ${chosenLicense}`,
      );
    } else {
      licensed.push({ ...bundled, chosenLicense, texts });
    }
  }
  if (problems.length > 0) {
    throw new Error(`the bundle cannot be distributed:\n  ${problems.join('\n  ')}`);
  }
  return licensed;
}

/**
 * Returns the first permitted license of an expression of the form `A` or `(A OR B)`; undefined if there is none. Other expressions
 * are refused, because they impose several licenses or an exception.
 */
export function choosePermittedLicense(expression: string): string | undefined {
  const alternatives = expression.replace(/^\((.*)\)$/, '$1').split(' OR ');
  return alternatives.find((license) => permittedLicenses.includes(license));
}

/** Empty if the package has no license file and its license is not one of the known texts. */
function readTexts(bundled: BundledPackage, license: string): string[] {
  const names = readdirSync(bundled.folder)
    .filter((name) => !codeFile.test(name))
    .sort();
  const read = (pattern: RegExp) =>
    names
      .filter((name) => pattern.test(name))
      .map((name) => trimLines(readFileSync(join(bundled.folder, name), 'utf8')))
      .filter((text) => text !== '');
  const own = read(licenseFile);
  const texts = own.length > 0 || !knownTexts.includes(license) ? own : [knownText(bundled, license)];
  return texts.length === 0 ? [] : [...texts, ...read(noticeFile)];
}

function knownText({ name, author }: BundledPackage, license: string): string {
  const text = trimLines(readFileSync(join(import.meta.dirname, 'license-texts', `${license}.txt`), 'utf8'));
  return `Copyright: ${author || `the authors of ${name}`}\n\n${text}`;
}

/** Removes empty lines at both ends, and keeps the indentation of the first line. */
function trimLines(text: string): string {
  return text.replace(/^(\s*\n)+/, '').trimEnd();
}

/** Formats the content of the file. Packages with the same texts share one section. */
export function formatLicenses(packages: readonly LicensedPackage[]): string {
  const sections = Map.groupBy(packages, ({ texts }) => texts.join('\n\n'));
  const line = '='.repeat(80);
  return [
    'ecr-pull-secrets is licensed under Apache-2.0, see LICENSE. It contains code of the packages below.',
    'Node.js, which the container image contains, has its licenses in /nodejs/LICENSE of the image.',
    '',
    ...[...sections].flatMap(([text, members]) => [
      line,
      ...members.map((member) => `${idOf(member)} (${member.chosenLicense})`),
      line,
      '',
      text,
      '',
    ]),
  ].join('\n');
}

/** The name of a package with its version, as in `npm install`. */
function idOf({ name, version }: BundledPackage): string {
  return `${name}@${version}`;
}
