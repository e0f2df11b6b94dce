// Runs the chart's certificate controller on this machine, because the test cluster has no nodes.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { MountedSecret } from '../certificates/mounted-secret.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { findFreePort } from '../cluster/server-process.ts';
import { eventually } from '../support/eventually.ts';
import type { Release } from './release.ts';
import { getValueAt } from './rendered-objects.ts';

const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

export const controllerName = 'ecr-pull-secrets-certificates';

interface Controller {
  readonly statusUrl: string;
  /** Sends SIGTERM and returns the exit code and the log. */
  stop(): Promise<{ code: unknown; output: string }>;
}

/** Runs the command `certificates` with the installed configuration and the controller's ServiceAccount. */
export async function startController(cluster: Cluster, release: Release): Promise<Controller> {
  const folder = await mkdtemp(join(tmpdir(), 'controller-'));
  const port = await findFreePort();
  const config = await release.configFile();
  const file = join(folder, 'config.yaml');
  await writeFile(
    file,
    stringify({
      ...config,
      certificates: { ...Object(config['certificates']), namespace: release.namespace },
      status: { address: '127.0.0.1', port },
      kubernetes: {
        kubeconfig: await cluster.serviceAccountKubeconfig(release.namespace, controllerName),
      },
    }),
  );
  const child = spawn(process.execPath, [mainFile, 'certificates', '--config', file], {
    env: { PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const output = text(child.stdout);
  const exited = once(child, 'exit');
  return {
    statusUrl: `http://127.0.0.1:${port}`,
    stop: async () => {
      child.kill('SIGTERM');
      const [code] = await exited;
      process.off('exit', kill);
      await rm(folder, { recursive: true, force: true });
      return { code, output: await output };
    },
  };
}

interface Mount {
  readonly certFile: string;
  readonly keyFile: string;
  stop(): Promise<void>;
}

/** Mounts the certificate of a release as a kubelet does: waits for the Secret and updates the files when it changes. */
export async function mountCertificate(cluster: Cluster, release: Release): Promise<Mount> {
  const path = `/api/v1/namespaces/${release.namespace}/secrets/ecr-pull-secrets-tls`;
  const read = async () => {
    const { status, body } = await cluster.request('GET', path);
    if (status !== 200) {
      return undefined;
    }
    const value = (key: string) => Buffer.from(getValueAt(body, 'data')[key], 'base64').toString();
    return { certPem: value('tls.crt'), keyPem: value('tls.key') };
  };
  let shown = await eventually('the Secret exists', read);
  const mountedSecret = await MountedSecret.create(shown);
  const stopping = new AbortController();
  const following = (async () => {
    while (!stopping.signal.aborted) {
      const pair = await read();
      if (pair !== undefined && pair.certPem !== shown.certPem) {
        await mountedSecret.update(pair);
        shown = pair;
      }
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
  })();
  return {
    certFile: mountedSecret.certFile,
    keyFile: mountedSecret.keyFile,
    stop: async () => {
      stopping.abort();
      await following;
      await mountedSecret.remove();
    },
  };
}
