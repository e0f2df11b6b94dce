// Names the folders and files of a release.
import { join } from 'node:path';
import packageJson from '../package.json' with { type: 'json' };

/** The folders that `prepare` creates and `publish` reads. */
export interface ReleaseFolders {
  readonly root: string;
  /** The image index, in the OCI image layout. */
  readonly image: string;
  /** What the GitHub release has as attachments. */
  readonly assets: string;
}

/** Returns the folders of a release below a folder. */
export function foldersOf(root: string): ReleaseFolders {
  return { root, image: join(root, 'image'), assets: join(root, 'assets') };
}

/** Returns the names of the attachments of a version. */
export function assetsOf(version: string) {
  const { name } = packageJson;
  return {
    /** As Helm names it. */
    chart: `${name}-${version}.tgz`,
    commandLine: `${name}-cli-${version}.tgz`,
    krew: `${name}.yaml`,
    checksums: 'checksums.txt',
    sbom: (platform: string) => `${name}-image-${platform.replace('/', '-')}.sbom.json`,
  } as const;
}
