// Signs what was published, with cosign and the identity of the workflow that runs it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Published } from './publish.ts';
import { assetsOf, type ReleaseFolders } from './release-folders.ts';
import { run } from './run.ts';

/** Signs the image, the chart and the checksums, and attests the bill of materials of each platform's image. */
export function sign(folders: ReleaseFolders): void {
  const published: Published = JSON.parse(readFileSync(join(folders.root, 'release.json'), 'utf8'));
  for (const args of createSignCommands(published, folders.assets)) {
    run('cosign', args);
  }
}

/** Returns the arguments of cosign for each signature. `--yes` consents to the entry in the public transparency log. */
function createSignCommands({ version, image, images, chart }: Published, folder: string): string[][] {
  const { checksums, sbom } = assetsOf(version);
  const file = join(folder, checksums);
  return [
    // The index and the image for each platform.
    ['sign', '--yes', '--recursive', image],
    ['sign', '--yes', chart],
    ...Object.entries(images).map(([platform, reference]) => {
      const predicate = join(folder, sbom(platform));
      return ['attest', '--yes', '--type', 'cyclonedx', '--predicate', predicate, reference];
    }),
    ['sign-blob', '--yes', '--bundle', `${file}.sigstore.json`, file],
  ];
}
