import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, it } from 'node:test';
import { createSecretApi } from '../../src/kube/secrets.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { accessSuite } from './secret-access.suite.ts';
import { createConfig, getValueAt, secretName } from './secret-api-fixtures.ts';
import { applySuite } from './secret-apply.suite.ts';
import { refusalSuite } from './secret-refusals.suite.ts';

describeOnCluster('Secrets on a real API server', (cluster) => {
  describe('apply', () => applySuite(cluster));
  describe('refusals', () => refusalSuite(cluster));
  describe('access to one name', () => accessSuite(cluster));

  it('is talked to over HTTP/1.1, though it prefers HTTP/2, and on few connections', async () => {
    const protocols: unknown[] = [];
    const note = (message: unknown): void =>
      void protocols.push(getValueAt(message, 'socket', 'alpnProtocol'));
    subscribe('undici:client:connected', note);
    const config = createConfig(cluster().kubeconfigPath);
    for (let index = 0; index < 10; index += 1) await createSecretApi(config).read('default', secretName);
    unsubscribe('undici:client:connected', note);
    await config.close();
    assert.deepEqual([...new Set(protocols)], ['http/1.1']);
    assert.ok(protocols.length <= 2);
  });
});
