// Replaces package.json with that of the npm package while `npm pack` runs: node plugins/packed-manifest.ts strip|restore
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const manifestFile = join(root, 'package.json');
const backupFile = join(root, 'dist/package.json.original');

interface Manifest {
  readonly [field: string]: unknown;
}

/** What npm reads of an installed package. The bundle contains all dependencies, and nothing is built from the sources. */
const keptFields = [
  'name',
  'version',
  'description',
  'license',
  'homepage',
  'repository',
  'type',
  'bin',
  'files',
];

/** Returns the manifest of the package. It needs the Node.js version of the bundle, while the sources bring their own. */
function packManifest(manifest: Manifest): Manifest {
  const kept = Object.entries(manifest).filter(([field]) => keptFields.includes(field));
  return { ...Object.fromEntries(kept), engines: { node: '>=24' } };
}

function strip(): void {
  // `npm pack` was interrupted before it could restore the manifest.
  restore();
  const original = readFileSync(manifestFile, 'utf8');
  mkdirSync(dirname(backupFile), { recursive: true });
  writeFileSync(backupFile, original);
  writeFileSync(manifestFile, formatPacked(original));
}

/** Does nothing if the manifest is not the one of the package, for example because it was restored with Git, and edited. */
function restore(): void {
  if (!existsSync(backupFile)) {
    return;
  }
  if (readFileSync(manifestFile, 'utf8') === formatPacked(readFileSync(backupFile, 'utf8'))) {
    renameSync(backupFile, manifestFile);
  } else {
    rmSync(backupFile);
  }
}

function formatPacked(original: string): string {
  return `${JSON.stringify(packManifest(JSON.parse(original)), null, 2)}\n`;
}

if (process.argv[2] === 'strip') {
  strip();
} else {
  restore();
}
