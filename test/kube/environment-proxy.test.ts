// Tests that calls to the API server ignore proxy variables of the environment.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { startConnectProxy } from '../ecr/connect-proxy.ts';

const mainFile = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

describe('the API server', () => {
  it('is reached directly, even if the environment names proxies', async (t) => {
    const server = await startApiStandIn();
    t.after(() => server.stop());
    const proxy = await startConnectProxy();
    t.after(() => proxy.stop());
    const directory = await mkdtemp(join(tmpdir(), 'kubeconfig-'));
    t.after(() => rm(directory, { recursive: true }));
    const kubeconfig = join(directory, 'kubeconfig');
    const text = await readFile(server.kubeconfigPath, 'utf8');
    // 0.0.0.0 reaches this machine but is not a loopback address, for which no proxy would be used.
    await writeFile(kubeconfig, text.replaceAll('127.0.0.1', '0.0.0.0'));
    const variables = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY'];
    const env = {
      PATH: process.env['PATH'],
      KUBECONFIG: kubeconfig,
      NODE_USE_ENV_PROXY: '1',
      ...Object.fromEntries(
        variables.flatMap((name) => [name, name.toLowerCase()]).map((name) => [name, proxy.url]),
      ),
    };
    const { stdout } = await promisify(execFile)(process.execPath, [mainFile, 'uninstall', '--dry-run'], {
      env,
    });
    assert.notEqual(stdout, '');
    assert.deepEqual([proxy.forwarded, proxy.tunnels], [[], []]);
  });
});
