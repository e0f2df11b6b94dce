// Writes the krew manifest of a packed npm package, which is also the archive that krew installs: npm run krew
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import packageJson from '../package.json' with { type: 'json' };

const usage = `Writes the krew manifest of the kubectl plugin.

  npm run krew -- --archive FILE --uri URL [--out FILE]

FILE is what npm pack has written, and URL is where users download it.
`;

interface Archive {
  readonly version: string;
  readonly uri: string;
  readonly sha256: string;
}

/** krew links `kubectl-ecr_pull_secrets` to the program. Its macOS and Linux builds run every executable file. */
function createKrewManifest({ version, uri, sha256 }: Archive): object {
  return {
    apiVersion: 'krew.googlecontainertools.github.com/v1alpha2',
    kind: 'Plugin',
    metadata: { name: packageJson.name },
    spec: {
      version: `v${version}`,
      homepage: packageJson.homepage,
      shortDescription: 'Check and repair pull Secrets for Amazon ECR',
      description: `Checks an installation of ecr-pull-secrets, which gives every pod with Amazon
ECR images a fresh image pull secret. "doctor" says what is wrong and what to
do, "doctor pod" explains why one pod does not pull, "status" lists all tokens
and when they expire, and "explain" predicts what happens to a manifest.
`,
      caveats: `This plugin needs Node.js 24 or later in PATH.

To complete its commands and flags in kubectl:
  kubectl ecr-pull-secrets completion kubectl > kubectl_complete-ecr_pull_secrets
  chmod +x kubectl_complete-ecr_pull_secrets
and move the file to a folder in PATH.
`,
      platforms: [
        {
          selector: { matchExpressions: [{ key: 'os', operator: 'In', values: ['darwin', 'linux'] }] },
          uri,
          sha256,
          files: [
            { from: 'package/dist/*', to: 'dist' },
            { from: 'package/LICENSE', to: '.' },
          ],
          bin: packageJson.bin['kubectl-ecr_pull_secrets'],
        },
      ],
    },
  };
}

function main(args: readonly string[]): void {
  const { values } = parseArgs({
    args: [...args],
    options: {
      archive: { type: 'string' },
      uri: { type: 'string' },
      out: { type: 'string', default: `dist/${packageJson.name}.yaml` },
      help: { type: 'boolean' },
    },
  });
  const { archive, uri, out } = values;
  if (values.help || archive === undefined || uri === undefined) {
    process.stdout.write(usage);
    process.exitCode = values.help ? 0 : 2;
    return;
  }
  const sha256 = createHash('sha256').update(readFileSync(archive)).digest('hex');
  const manifest = createKrewManifest({ version: packageJson.version, uri, sha256 });
  writeFileSync(out, stringify(manifest, { blockQuote: 'literal' }));
}

if (import.meta.main) {
  main(process.argv.slice(2));
}
