// Checks whether this machine can make a dry run of a release, and provides registries for it on the loopback interface.
import { mkdirSync, symlinkSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { delimiter, dirname, join } from 'node:path';
import { findHelm, obtainHelm } from '../chart/helm.ts';
import { requiredImagePrograms } from '../image/image-tools.ts';
import { startRegistry } from '../pull/local-registry.ts';
import { requiredPullPrograms } from '../pull/pull-tools.ts';
import { findMissingPrograms } from '../support/executables.ts';

/** Why no release can be built and published on this machine; undefined if it can. */
export function findReleaseTestObstacle(env: NodeJS.ProcessEnv): string | undefined {
  if (process.getuid?.() !== 0) {
    return 'NO RELEASE: its image is built as root, on Linux';
  }
  const required = [requiredImagePrograms.builder, ...Object.values(requiredPullPrograms)];
  const missing = findMissingPrograms(required, env);
  if (missing.length > 0) {
    return `NO RELEASE: no ${missing.join(' and no ')} in PATH (on Debian: apt-get install ${missing.join(' ')})`;
  }
  const helm = findHelm(env);
  return 'reason' in helm ? helm.reason : undefined;
}

/** A registry without TLS and passwords. */
export interface LoopbackRegistry {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  stop(): Promise<void>;
}

/** Starts docker-registry and listens for it on a free port, because it cannot choose one itself. */
export async function startLoopbackRegistry(): Promise<LoopbackRegistry> {
  const registry = await startRegistry();
  const server = createServer((client) => {
    const upstream = connect(registry.socketPath);
    client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy());
    upstream.on('error', () => client.destroy()).on('close', () => client.destroy());
    client.pipe(upstream).pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    host: `127.0.0.1:${port}`,
    stop: async () => {
      server.close();
      await registry.stop();
    },
  };
}

/**
 * Returns an environment for the release script: with Helm and the Node.js of this process in PATH, and with everything that its
 * programs store in a folder.
 */
export async function createReleaseEnvironment(folder: string): Promise<NodeJS.ProcessEnv> {
  await obtainHelm();
  const helm = findHelm(process.env);
  const program = 'program' in helm ? helm.program : undefined;
  const programs = join(folder, 'programs');
  mkdirSync(programs, { recursive: true });
  if (program !== undefined) {
    symlinkSync(program, join(programs, 'helm'));
  }
  return {
    PATH: [programs, dirname(process.execPath), process.env['PATH']].join(delimiter),
    HOME: folder,
    TMPDIR: folder,
    XDG_RUNTIME_DIR: folder,
    npm_config_cache: join(folder, 'cache'),
    npm_config_update_notifier: 'false',
  };
}
