// Tests that doctor ends in time if the API server accepts connections and never responds, or does not exist.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runDoctor } from './run-doctor.ts';

describe('doctor without a working API server', () => {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => sockets.add(socket));
  let folder: string;
  let config: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'silent-'));
    config = join(folder, 'config.yaml');
    await writeFile(config, 'kubernetes: { requestTimeout: 1s }');
    await once(server.listen(0, '127.0.0.1'), 'listening');
  });
  after(async () => {
    for (const socket of sockets) {
      socket.destroy();
    }
    server.close();
    await rm(folder, { recursive: true });
  });

  async function kubeconfig(url: string): Promise<string> {
    const file = join(folder, 'kubeconfig');
    await writeFile(
      file,
      JSON.stringify({
        ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'c' },
        clusters: [{ name: 'c', cluster: { server: url, 'insecure-skip-tls-verify': true } }],
        users: [{ name: 'u', user: { token: 'obviously-fake' } }],
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      }),
    );
    return file;
  }

  it('says that it does not respond, and names no other cause', async () => {
    const { port } = server.address() as AddressInfo;
    const started = performance.now();
    const run = await runDoctor([
      ...['--config', config, '--kubeconfig', await kubeconfig(`https://127.0.0.1:${port}`)],
      ...['--group', 'api-server', '--group', 'webhook', '--timeout', '4s'],
    ]);
    assert.ok(performance.now() - started < 15_000);
    assert.match(run.firstFailure, /^api-server-reachable: the API server at .+ does not respond$/);
    assert.equal(run.code, 1);
    const failed = [...run.checks.values()].filter(({ outcome }) => outcome === 'failed');
    assert.equal(failed.length, 1, JSON.stringify(failed));
  });

  it('says that it cannot be reached', async () => {
    const run = await runDoctor(['--kubeconfig', await kubeconfig('https://127.0.0.1:1')]);
    assert.match(run.firstFailure, /^api-server-reachable: /);
    const failed = [...run.checks.values()].filter(({ outcome }) => outcome === 'failed');
    assert.equal(failed.length, 1, JSON.stringify(failed));
  });

  it('says which context does not exist, with exit code 1', async () => {
    const file = await kubeconfig('https://127.0.0.1:1');
    const run = await runDoctor(['--kubeconfig', file, '--context', 'none']);
    assert.equal(run.firstFailure, `api-server-reachable: kubeconfig ${file} has no context none`);
    assert.equal(run.code, 1);
  });
});
