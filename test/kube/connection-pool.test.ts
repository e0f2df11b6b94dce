// Tests the connections to the API server: number, reuse, timeouts, proxy and rotated credentials.
import assert from 'node:assert/strict';
import { createServer, get } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { Connections } from '../../src/kube/connection-pool.ts';
import { createSecretApi } from '../../src/kube/secrets.ts';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { buildPullSecret, createConfig, hasErrorCode, secretName } from './secret-api-fixtures.ts';

describe('calls', () => {
  let server: ApiStandIn;
  let namespace: string;
  before(async () => {
    server = await startApiStandIn();
    namespace = await server.createNamespace();
  });
  after(() => server.stop());

  it('share a connection if made one after the other', async () => {
    const config = createConfig(server.kubeconfigPath);
    const api = createSecretApi(config);
    const before = server.connections;
    for (let index = 0; index < 10; index += 1) {
      await api.apply(buildPullSecret(namespace, String(index)), { fieldManager: 'one', force: false });
    }
    // There may be a second one if the first connection was not yet free.
    assert.ok(server.connections - before <= 2);
    await config.close();
  });

  it('use a bounded number of connections', async () => {
    const config = createConfig(server.kubeconfigPath);
    const api = createSecretApi(config);
    const before = server.connections;
    await Promise.all(
      Array.from({ length: 400 }, (_, index) => api.read(`${namespace}-${index}`, secretName)),
    );
    assert.ok(server.connections - before <= 64, `${server.connections - before}`);
    await config.close();
  });

  it('send the user agent, and the content type of an apply', async () => {
    const config = createConfig(server.kubeconfigPath);
    server.requests.clear();
    await createSecretApi(config).apply(buildPullSecret(namespace, 'a'), {
      fieldManager: 'one',
      force: true,
    });
    const [{ userAgent, contentType } = { userAgent: '', contentType: '' }] = server.requests.all;
    assert.deepEqual([userAgent, contentType], ['kube-test/1', 'application/apply-patch+yaml']);
    await config.close();
  });

  it('are aborted after their timeout, and the next call succeeds', async () => {
    const config = createConfig(server.kubeconfigPath, 50);
    const api = createSecretApi(config);
    server.faults.hang();
    await assert.rejects(api.read(namespace, secretName), hasErrorCode('timeout'));
    server.faults.clear();
    assert.ok(await api.read(namespace, secretName));
    await config.close();
  });

  it('fail with network if nothing listens, and with unauthorized for an unknown token', async () => {
    const config = createConfig(server.kubeconfigPath);
    const api = createSecretApi(config);
    await server.takeDown();
    await assert.rejects(api.read(namespace, secretName), hasErrorCode('network'));
    await server.bringUp();
    const account = createConfig(await server.serviceAccountKubeconfig(namespace, 'gone'));
    server.revokeServiceAccountTokens();
    await assert.rejects(createSecretApi(account).read(namespace, secretName), hasErrorCode('unauthorized'));
    await config.close();
    await account.close();
  });

  it('use the proxy of the kubeconfig', async () => {
    const requestedUrls: string[] = [];
    // Plain HTTP is forwarded; HTTPS would need a tunnel.
    const proxy = createServer(({ url = '', headers }, response) => {
      requestedUrls.push(url);
      const upstream = get(url, { headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      upstream.on('error', () => response.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const address = proxy.address();
    const config = createConfig(server.kubeconfigPath);
    const [cluster] = config.clusters;
    assert.ok(cluster !== undefined && typeof address === 'object' && address !== null);
    config.clusters = [{ ...cluster, proxyUrl: `http://127.0.0.1:${address.port}` }];
    try {
      assert.equal(await createSecretApi(config).read(namespace, 'none'), undefined);
      assert.deepEqual(requestedUrls, [`${server.url}/api/v1/namespaces/${namespace}/secrets/none`]);
    } finally {
      await config.close();
      proxy.close();
    }
  });
});

describe('connections', () => {
  let server: ApiStandIn;
  before(async () => {
    server = await startApiStandIn();
  });
  after(() => server.stop());

  it('are kept while the TLS options are the same, and replaced when a file of the kubeconfig has changed', async () => {
    const connections = new Connections({ connectTimeoutMs: 1_000, maxCalls: 64, maxWaitMs: 60_000 });
    const first = connections.get({ ca: Buffer.from('one') }, undefined);
    assert.equal(connections.get({ ca: Buffer.from('one') }, undefined), first);
    const second = connections.get({ ca: Buffer.from('two') }, undefined);
    assert.notEqual(second.calls, first.calls);
    assert.notEqual(second.watches, first.watches);
    const ofFirst = { origin: server.url, path: '/', method: 'GET' } as const;
    const { statusCode, body } = await first.calls.request(ofFirst);
    assert.ok(statusCode >= 200, 'a call that has waited since before the change is sent');
    await body.dump();
    await connections.close();
    await assert.rejects(first.calls.request(ofFirst), { code: 'UND_ERR_DESTROYED' });
  });
});
