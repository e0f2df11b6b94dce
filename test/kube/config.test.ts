import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { KubeConfigError, loadKubeConfig } from '../../src/kube/config.ts';
import { secretApi } from '../../src/kube/secrets.ts';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-server.ts';
import { configOf, failsWith, NAME, pullSecret } from './server.ts';

const CANARY = 'token-canary';

describe('the kubeconfig', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'kubeconfig-'));
  });
  after(() => rmSync(folder, { recursive: true }));
  const failure = (text: string | undefined): unknown => {
    const kubeconfigPath = join(folder, 'config');
    if (text !== undefined) writeFileSync(kubeconfigPath, text);
    try {
      loadKubeConfig({ kubeconfigPath, requestTimeoutMs: 1, userAgent: '' });
    } catch (error) {
      return error;
    }
    return undefined;
  };

  for (const [what, text, code] of [
    ['is missing', undefined, 'unreadable'],
    ['is no YAML', `users: [{token: ${CANARY}`, 'unreadable'],
    ['is something else', `${CANARY}`, 'no-cluster'],
    ['names no cluster', `{"users":[{"name":"a","user":{"token":"${CANARY}"}}]}`, 'no-cluster'],
  ] as const) {
    it(`says ${code} where the file ${what}, and quotes nothing of it`, () => {
      const error = failure(text);
      assert.ok(error instanceof KubeConfigError);
      assert.equal(error.code, code);
      assert.ok(
        error.message.includes(folder) && !`${error.message}${error.stack}${error.cause}`.includes(CANARY),
      );
    });
  }
});

describe('calls', () => {
  let server: ApiStandIn;
  let namespace: string;
  before(async () => {
    server = await startApiStandIn();
    namespace = await server.createNamespace();
  });
  after(() => server.stop());

  it('do not make a connection each when made one after the other', async () => {
    const config = configOf(server.kubeconfigPath);
    const api = secretApi(config);
    const before = server.connections;
    for (let index = 0; index < 10; index += 1)
      await api.apply(pullSecret(namespace, String(index)), { fieldManager: 'one', force: false });
    // A second one where a connection was not quite free yet.
    assert.ok(server.connections - before <= 2);
    await config.close();
  });

  it('are bounded in how many connections they use at once', async () => {
    const config = configOf(server.kubeconfigPath);
    const api = secretApi(config);
    const before = server.connections;
    await Promise.all(Array.from({ length: 200 }, () => api.read(namespace, NAME)));
    assert.equal(server.connections - before, 16);
    await config.close();
  });

  it('say who we are, and with which content type they apply', async () => {
    const config = configOf(server.kubeconfigPath);
    server.requests.clear();
    await secretApi(config).apply(pullSecret(namespace, 'a'), { fieldManager: 'one', force: true });
    const [{ userAgent, contentType } = { userAgent: '', contentType: '' }] = server.requests.all;
    assert.deepEqual([userAgent, contentType], ['kube-test/1', 'application/apply-patch+yaml']);
    await config.close();
  });

  it('are given up after their time, and the next one works', async () => {
    const config = configOf(server.kubeconfigPath, 50);
    const api = secretApi(config);
    server.faults.hang();
    await assert.rejects(api.read(namespace, NAME), failsWith('timeout'));
    server.faults.clear();
    assert.ok(await api.read(namespace, NAME));
    await config.close();
  });

  it('say network where nobody listens, unauthorized for a token that is not known', async () => {
    const config = configOf(server.kubeconfigPath);
    const api = secretApi(config);
    await server.down();
    await assert.rejects(api.read(namespace, NAME), failsWith('network'));
    await server.up();
    const account = configOf(await server.serviceAccountKubeconfig(namespace, 'gone'));
    server.revokeServiceAccountTokens();
    await assert.rejects(secretApi(account).read(namespace, NAME), failsWith('unauthorized'));
    await config.close();
    await account.close();
  });
});
