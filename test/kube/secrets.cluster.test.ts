// Tests that calls to a real API server share few HTTP/1.1 connections.
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { it } from 'node:test';
import { createSecretApi } from '../../src/kube/secrets.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { createConfig, getValueAt, secretName } from './secret-api-fixtures.ts';

describeOnCluster('Secrets on a real API server', (cluster) => {
  it('are requested over HTTP/1.1 on few connections, although the API server prefers HTTP/2', async () => {
    const protocols: unknown[] = [];
    const note = (message: unknown): void =>
      void protocols.push(getValueAt(message, 'socket', 'alpnProtocol'));
    subscribe('undici:client:connected', note);
    const config = createConfig(cluster().kubeconfigPath);
    for (let index = 0; index < 10; index += 1) {
      await createSecretApi(config).read('default', secretName);
    }
    unsubscribe('undici:client:connected', note);
    await config.close();
    assert.deepEqual([...new Set(protocols)], ['http/1.1']);
    assert.ok(protocols.length <= 2);
  });
});
