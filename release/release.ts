// Builds and publishes a release: npm run release -- prepare|publish
import { parseArgs } from 'node:util';
import packageJson from '../package.json' with { type: 'json' };
import { prepare } from './prepare.ts';
import { publish } from './publish.ts';
import { foldersOf } from './release-folders.ts';

const usage = `Builds and publishes a release. Needs buildah, skopeo, Helm and npm in PATH.

  npm run release -- prepare [--tag vX.Y.Z] [--label NAME=VALUE …]
  npm run release -- publish --image REGISTRY/NAME --charts REGISTRY/FOLDER

prepare builds the image for each platform, its bills of materials and the npm package.
publish pushes the image and the chart, and writes the notes, the checksums and release.json, which names what to sign.

  --out FOLDER                  where the release is prepared (default: dist/release)
  --repository URL              the repository on GitHub (default: that of package.json)
  --unreleased                  take the notes from the unreleased changes, for a dry run
  --plain-http                  the registries offer no TLS
  --file FILE                   the Dockerfile
  --build-context NAME=FOLDER   replaces an image or a stage of the Dockerfile

See docs/how-to/release.md.
`;

async function main(args: readonly string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      tag: { type: 'string' },
      label: { type: 'string', multiple: true, default: [] },
      image: { type: 'string' },
      charts: { type: 'string' },
      out: { type: 'string', default: 'dist/release' },
      repository: { type: 'string', default: packageJson.homepage },
      unreleased: { type: 'boolean', default: false },
      'plain-http': { type: 'boolean', default: false },
      file: { type: 'string', default: 'Dockerfile' },
      'build-context': { type: 'string', multiple: true, default: [] },
      help: { type: 'boolean' },
    },
  });
  const folders = foldersOf(values.out);
  const { tag, unreleased, image, charts, repository } = values;
  const [command, ...others] = positionals;
  if (values.help) {
    process.stdout.write(usage);
  } else if (command === 'prepare' && others.length === 0) {
    const { label: labels, file: dockerfile, 'build-context': buildContexts } = values;
    await prepare(folders, { tag, unreleased, labels, dockerfile, buildContexts });
  } else if (command === 'publish' && others.length === 0 && image !== undefined && charts !== undefined) {
    const options = { image, charts, repository, unreleased, plainHttp: values['plain-http'] };
    process.stdout.write(`${JSON.stringify(await publish(folders, options), undefined, 2)}\n`);
  } else {
    throw new Error('use `prepare`, or `publish` with --image and --charts; --help shows all flags');
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`npm run release: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
