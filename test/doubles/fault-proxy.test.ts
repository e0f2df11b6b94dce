// Tests that the fault proxy forwards requests unchanged and injects each kind of fault.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, describe, it } from 'node:test';
import { getValueAt } from '../kube/secret-api-fixtures.ts';
import { type ApiStandIn, startApiStandIn } from './api-server/api-stand-in.ts';
import { type FaultProxy, startFaultProxy } from './fault-proxy.ts';

describe('the fault proxy', () => {
  let server: ApiStandIn;
  let proxy: FaultProxy;
  let url: string;
  let authorization: string;
  before(async () => {
    server = await startApiStandIn();
    proxy = await startFaultProxy(server.kubeconfigPath);
    const config: unknown = JSON.parse(readFileSync(proxy.kubeconfig(server.kubeconfigPath), 'utf8'));
    url = String(getValueAt(config, 'clusters', '0', 'cluster', 'server'));
    authorization = `Bearer ${getValueAt(config, 'users', '0', 'user', 'token')}`;
  });
  afterEach(() => proxy.heal());
  const get = (path: string, ms = 2_000): Promise<Response> =>
    fetch(`${url}${path}`, { headers: { authorization }, signal: AbortSignal.timeout(ms) });

  it('forwards requests with their credentials', async () => {
    assert.notEqual(url, server.url);
    assert.equal((await get('/api/v1/namespaces')).status, 200);
    assert.equal((await get('/api/v1/nothing')).status, 404);
    assert.equal(
      proxy.count((method, path) => method === 'GET' && path === '/api/v1/namespaces'),
      1,
    );
  });

  it('responds to matching requests with the injected status', async () => {
    proxy.status(500, (_, path) => path.includes('secrets'));
    assert.equal((await get('/api/v1/secrets')).status, 500);
    assert.equal((await get('/api/v1/namespaces')).status, 200);
  });

  it('delays requests, drops them, and refuses connections', async () => {
    const start = performance.now();
    proxy.delay(50);
    assert.equal((await get('/api/v1/namespaces')).status, 200);
    assert.ok(performance.now() - start >= 49);
    proxy.hang();
    await assert.rejects(get('/api/v1/namespaces', 50), { name: 'TimeoutError' });
    await proxy.refuseConnections();
    await assert.rejects(get('/api/v1/namespaces'), /fetch failed/);
    await proxy.heal();
    assert.equal((await get('/api/v1/namespaces')).status, 200);
  });

  after(async () => {
    await proxy.stop();
    await server.stop();
  });
});
