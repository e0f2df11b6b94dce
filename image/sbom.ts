// Writes the software bill of materials of the image.
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import packageJson from '../package.json' with { type: 'json' };

const args = [
  ...['sbom', '--sbom-format', 'cyclonedx', '--sbom-type', 'application'],
  ...['--omit', 'dev', '--package-lock-only'],
];

/** Writes what the bundle is made of, by the lock file, as CycloneDX. The base image is not in it. */
export function writeSbom(file: string): void {
  const npm = process.env['npm_execpath'];
  const [program, first] = npm === undefined ? ['npm', []] : [process.execPath, [npm]];
  const sbom = JSON.parse(
    execFileSync(program, [...first, ...args], { encoding: 'utf8', maxBuffer: 64 * 2 ** 20 }),
  );
  // npm uses the name of the folder here
  sbom.metadata.component.name = packageJson.name;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(sbom, undefined, 2)}\n`);
}
