// Finds the npm packages of which a bundle contains code, from the metafile of esbuild.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { Metafile } from 'esbuild';

/** An npm package in the bundle. */
export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** An SPDX license expression, as in package.json; empty if the package states none. */
  readonly license: string;
  /** Empty if the package states none. */
  readonly author: string;
  readonly homepage: string | undefined;
  /** Absolute path of the folder with its package.json. */
  readonly folder: string;
  /** Folders of the packages that it imports. */
  readonly imports: readonly string[];
}

/** The packages in a bundle, sorted by name and version. */
export interface BundledPackages {
  readonly packages: readonly BundledPackage[];
  /** Folders of the packages that the program itself imports. */
  readonly imports: readonly string[];
}

type Graph = ReadonlyMap<string | undefined, ReadonlySet<string>>;

/**
 * Returns the packages with code in any file of the bundle. A package whose code was all removed by tree shaking is not in the bundle.
 * @param root the folder that the paths in the metafile are relative to, which is the working directory of esbuild
 */
export function findBundledPackages(metafile: Metafile, root: string): BundledPackages {
  const graph = findImports(metafile);
  const packages = [...graph.keys()].flatMap((folder) =>
    folder === undefined ? [] : [readPackage(resolve(root, folder), importsOf(graph, folder, root))],
  );
  return { packages: packages.sort(byNameAndVersion), imports: importsOf(graph, undefined, root) };
}

/** Returns the folders that each folder imports. The program's own files have the folder undefined. */
function findImports({ inputs, outputs }: Metafile): Graph {
  const bundled = Object.values(outputs).flatMap(({ inputs: files }) =>
    Object.entries(files).flatMap(([file, { bytesInOutput }]) => (bytesInOutput > 0 ? [file] : [])),
  );
  const folders = new Set(bundled.map(packageFolder));
  const graph = new Map([...folders].map((folder) => [folder, new Set<string>()]));
  for (const file of bundled) {
    const folder = packageFolder(file);
    for (const { path } of inputs[file]?.imports ?? []) {
      const imported = packageFolder(path);
      if (imported !== undefined && imported !== folder && folders.has(imported)) {
        graph.get(folder)?.add(imported);
      }
    }
  }
  return graph;
}

/** The folder of the package that a file belongs to; undefined for a file of the program. */
function packageFolder(file: string): string | undefined {
  return /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0];
}

function importsOf(graph: Graph, folder: string | undefined, root: string): string[] {
  return [...(graph.get(folder) ?? [])].map((imported) => resolve(root, imported));
}

function readPackage(folder: string, imports: readonly string[]): BundledPackage {
  const { name, version, license, author, homepage } = JSON.parse(
    readFileSync(join(folder, 'package.json'), 'utf8'),
  );
  return {
    name,
    version,
    license: typeof license === 'string' ? license : '',
    author: (typeof author === 'string' ? author : (author?.name ?? '')).replace(/ *[<(].*/, ''),
    homepage: typeof homepage === 'string' ? homepage : undefined,
    folder,
    imports,
  };
}

function byNameAndVersion(one: BundledPackage, other: BundledPackage): number {
  return compare(one.name, other.name) || compare(one.version, other.version);
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}
