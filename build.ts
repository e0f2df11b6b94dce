// Bundles the program into one file that needs no node_modules: npm run bundle [-- FILE]
import { chmod } from 'node:fs/promises';
import { build } from 'esbuild';

const outfile = process.argv[2] ?? 'dist/main.mjs';

/** With an older version, a bundled package fails first, with an error that does not name the cause. */
const minNodeVersion = 24;
const versionCheck = `if (Number.parseInt(process.versions.node, 10) < ${minNodeVersion}) { process.stderr.write('ecr-pull-secrets: needs Node.js ${minNodeVersion} or later, and this is ' + process.versions.node + '\\n'); process.exit(1); }`;

/**
 * The bundle starts in half the time of the sources and takes two thirds of their memory. The banner is needed because bundled
 * CommonJS packages call `require`.
 */
await build({
  entryPoints: ['src/main.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  target: `node${minNodeVersion}`,
  format: 'esm',
  // takes a fifth less memory; names are kept and lines are short, so that stacks stay readable
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 160,
  sourcemap: 'linked',
  // the licenses of the bundled packages
  legalComments: 'linked',
  banner: {
    js:
      "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);\n" +
      versionCheck,
  },
  logLevel: 'warning',
});
await chmod(outfile, 0o755);
