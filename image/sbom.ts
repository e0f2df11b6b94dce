// Creates the software bill of materials: the packages in the bundle, and what an image contains besides it.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Enums, Models, Serialize, Spec } from '@cyclonedx/cyclonedx-library';
import { type BundledPackages, findBundledPackages } from '../build/bundled-packages.ts';
import packageJson from '../package.json' with { type: 'json' };
import type { BasePackages } from './base-packages.ts';

/** What the lock file states about the archive of a package. */
interface LockedPackage {
  readonly version?: string;
  readonly integrity?: string;
}

/** Integrity hashes by `NAME@VERSION`. */
type Integrities = ReadonlyMap<string, string>;

/**
 * Writes the bill of materials of a bundle, as CycloneDX 1.6.
 * @param metafile the file that build.ts wrote for the bundle
 * @param base what else the image contains; undefined if that is not known
 */
export function writeSbom(file: string, metafile: string, base?: BasePackages): void {
  const bundled = findBundledPackages(JSON.parse(readFileSync(metafile, 'utf8')), process.cwd());
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, createSbom(bundled, readIntegrities('package-lock.json'), base));
}

function readIntegrities(lockFile: string): Integrities {
  const { packages }: { packages: Record<string, LockedPackage> } = JSON.parse(
    readFileSync(lockFile, 'utf8'),
  );
  return new Map(
    Object.entries(packages).flatMap(([path, { version, integrity }]) => {
      const name = path.split('node_modules/').at(-1);
      return integrity === undefined ? [] : [[`${name}@${version}`, integrity]];
    }),
  );
}

/** Returns the bill of materials as JSON. It contains no time and no random number, so the same input results in the same text. */
function createSbom(
  { packages, imports }: BundledPackages,
  integrities: Integrities,
  base?: BasePackages,
): string {
  const purl = `pkg:npm/${packageJson.name}@${packageJson.version}`;
  const program = createComponent(Enums.ComponentType.Application, packageJson.name, purl, packageJson);
  const components = new Map<string, Models.Component>();
  for (const bundled of packages) {
    const purl = `pkg:npm/${bundled.name.replace('@', '%40')}@${bundled.version}`;
    const component = createComponent(Enums.ComponentType.Library, bundled.name, purl, bundled);
    addHash(component, integrities.get(`${bundled.name}@${bundled.version}`));
    components.set(bundled.folder, component);
  }
  for (const { folder, imports: imported } of packages) {
    addDependencies(components.get(folder), imported, components);
  }
  addDependencies(program, imports, components);

  const bom = new Models.Bom();
  bom.metadata.component = program;
  for (const component of components.values()) {
    bom.components.add(component);
  }
  for (const component of base === undefined ? [] : createBaseComponents(base)) {
    program.dependencies.add(component.bomRef);
    bom.components.add(component);
  }
  const normalizers = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6);
  return `${new Serialize.JsonSerializer(normalizers).serialize(bom, { sortLists: true, space: 2 })}\n`;
}

interface Described {
  readonly version: string;
  readonly license?: string;
  readonly homepage?: string | undefined;
}

function createComponent(
  type: Enums.ComponentType,
  name: string,
  purl: string,
  { version, license, homepage }: Described,
): Models.Component {
  const component = new Models.Component(type, name, { version, purl, bomRef: purl });
  if (license !== undefined) {
    component.licenses.add(
      license.includes(' ') ? new Models.LicenseExpression(license) : new Models.SpdxLicense(license),
    );
  }
  if (homepage !== undefined) {
    const { Website } = Enums.ExternalReferenceType;
    component.externalReferences.add(new Models.ExternalReference(homepage, Website));
  }
  return component;
}

/** @param integrity as in the lock file: `sha512-` and the hash in base64 */
function addHash(component: Models.Component, integrity: string | undefined): void {
  const [, hash] = /^sha512-(\S+)$/.exec(integrity ?? '') ?? [];
  if (hash !== undefined) {
    component.hashes.set(Enums.HashAlgorithm['SHA-512'], Buffer.from(hash, 'base64').toString('hex'));
  }
}

function addDependencies(
  component: Models.Component | undefined,
  folders: readonly string[],
  components: ReadonlyMap<string, Models.Component>,
): void {
  for (const folder of folders) {
    const dependency = components.get(folder);
    if (dependency !== undefined) {
      component?.dependencies.add(dependency.bomRef);
    }
  }
}

function createBaseComponents({ nodeVersion, debian, debianVersion }: BasePackages): Models.Component[] {
  const node = createComponent(Enums.ComponentType.Platform, 'node', `pkg:generic/node@${nodeVersion}`, {
    version: nodeVersion,
    license: 'MIT',
    homepage: 'https://nodejs.org/',
  });
  // Vulnerability scanners find Node.js by this name.
  node.cpe = `cpe:2.3:a:nodejs:node.js:${nodeVersion}:*:*:*:*:*:*:*`;
  const distro = debianVersion === '' ? '' : `&distro=debian-${debianVersion}`;
  const libraries = debian.map(({ name, version, architecture }) => {
    const purl = `pkg:deb/debian/${name}@${encodeURIComponent(version)}?arch=${architecture}${distro}`;
    return createComponent(Enums.ComponentType.Library, name, purl, { version });
  });
  return [node, ...libraries];
}
