// An esbuild plugin that bundles only the parts of @kubernetes/client-node that src/kube uses.
import type { Plugin } from 'esbuild';

/**
 * What to bundle instead of the two files that re-export everything: the API classes and models of all groups, which would be a
 * third of the bundle, and commands such as exec and cp with their packages. If src/kube or client-node begins to import more, the
 * build fails and names the missing export.
 */
const parts: ReadonlyMap<string, string> = new Map([
  [
    'dist/index.js',
    `export { KubeConfig } from './config.js';
     export { HttpMethod, RequestContext, ResponseContext, wrapHttpLibrary } from './gen/http/http.js';
     export { IsomorphicFetchHttpLibrary } from './gen/http/isomorphic-fetch.js';`,
  ],
  [
    'dist/gen/index.js',
    `export { createConfiguration } from './configuration.js';
     export { RequestContext, ResponseContext } from './http/http.js';
     export { ServerConfiguration } from './servers.js';`,
  ],
]);

export const clientNodeParts: Plugin = {
  name: 'parts of client-node',
  setup: (build) => {
    // This pattern matches two files only, because each call of a plugin takes time.
    build.onLoad(
      { filter: /[\\/]@kubernetes[\\/]client-node[\\/]dist[\\/](gen[\\/])?index\.js$/ },
      ({ path }) => {
        const [, file = ''] = path.replaceAll('\\', '/').split('/client-node/');
        const contents = parts.get(file);
        return contents === undefined ? undefined : { contents, loader: 'js' };
      },
    );
  },
};
