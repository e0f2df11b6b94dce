// Finds out what an image contains besides the bundle: Node.js and the packages of the base image.
import type { ImageFiles } from './image-files.ts';

/** A Debian package of the base image. */
interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly architecture: string;
}

/** What the base of an image consists of. */
export interface BasePackages {
  readonly nodeVersion: string;
  /** Empty if the image has no package database. */
  readonly debian: readonly DebianPackage[];
  /** The version of Debian, for example `12`; empty if the image does not state it. */
  readonly debianVersion: string;
}

const nodeFile = 'nodejs/bin/node';

/**
 * Reads Node.js and the Debian packages from the files of an image. Runs nothing, so it also works for another architecture.
 * @throws {Error} if the image does not contain Node.js where the entry point runs it, or not its license
 */
export function findBasePackages({ files }: ImageFiles): BasePackages {
  // The address of its headers is a part of every official build.
  const nodeVersion = findText(files.get(nodeFile), /\/node-v(\d+\.\d+\.\d+)-headers\.tar\.gz/);
  if (nodeVersion === undefined) {
    throw new Error(`the image contains no Node.js at /${nodeFile}`);
  }
  if (!files.has('nodejs/LICENSE')) {
    throw new Error('the image does not contain the license of Node.js at /nodejs/LICENSE');
  }
  const debian = [...files]
    .filter(([path]) => /^var\/lib\/dpkg\/(status$|status\.d\/[^.]+$)/.test(path))
    .flatMap(([, data]) => data.toString().split('\n\n').flatMap(parseParagraph));
  return {
    nodeVersion,
    debian: debian.sort((one, other) => (one.name < other.name ? -1 : 1)),
    debianVersion:
      findText(files.get('usr/lib/os-release') ?? files.get('etc/os-release'), /^VERSION_ID="?(\d+)/m) ?? '',
  };
}

function findText(data: Buffer | undefined, pattern: RegExp): string | undefined {
  return data && pattern.exec(data.toString('latin1'))?.[1];
}

/** A package in a control file; none if the paragraph does not describe one. */
function parseParagraph(paragraph: string): DebianPackage[] {
  const field = (key: string) => new RegExp(`^${key}: *(\\S+)`, 'm').exec(paragraph)?.[1];
  const [name, version, architecture] = [field('Package'), field('Version'), field('Architecture')];
  return name === undefined || version === undefined || architecture === undefined
    ? []
    : [{ name, version, architecture }];
}
