// Builds, publishes and signs a release: npm run release -- prepare|publish|sign
import { appendFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import packageJson from '../package.json' with { type: 'json' };
import { prepare } from './prepare.ts';
import { type Published, publish } from './publish.ts';
import { foldersOf } from './release-folders.ts';
import { sign } from './sign.ts';

const usage = `Builds, publishes and signs a release. Needs buildah, skopeo, Helm, npm and cosign in PATH.

  npm run release -- prepare [--tag vX.Y.Z] [--label NAME=VALUE …]
  npm run release -- publish --image REGISTRY/NAME --charts REGISTRY/FOLDER
  npm run release -- sign

prepare builds the image for each platform, its bills of materials and the npm package.
publish pushes the image and the chart, and writes the notes, the checksums and release.json, which names what to sign.
sign signs these with cosign. In a workflow, it needs no key.

  --out FOLDER                  where the release is prepared (default: dist/release)
  --repository URL              the repository on GitHub (default: that of package.json)
  --outputs FILE                append what was published to this file, in the format of GITHUB_OUTPUT
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
      outputs: { type: 'string' },
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
    const published = await publish(folders, options);
    process.stdout.write(`${JSON.stringify(published, undefined, 2)}\n`);
    if (values.outputs !== undefined) {
      appendFileSync(values.outputs, formatOutputs(published));
    }
  } else if (command === 'sign' && others.length === 0) {
    sign(folders);
  } else {
    throw new Error('use `prepare`, `publish` with --image and --charts, or `sign`; --help shows all flags');
  }
}

/** The names and digests of image and chart, for later steps of a workflow. */
function formatOutputs({ image, chart }: Published): string {
  return Object.entries({ image, chart })
    .map(([artifact, reference]) => {
      const [name, digest] = reference.split('@');
      return `${artifact}-name=${name}\n${artifact}-digest=${digest}\n`;
    })
    .join('');
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`npm run release: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
