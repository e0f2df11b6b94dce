// Tests that the informer survives faults between it and a real API server.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, it } from 'node:test';
import type { ClusterConfig } from '../../src/kube/client.ts';
import { createSecretApi } from '../../src/kube/secrets.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type FaultProxy, startFaultProxy } from '../doubles/fault-proxy.ts';
import { eventually } from '../support/eventually.ts';
import { createRecordedWatch, type RecordedWatch } from './recorded-watch.ts';
import { restrictedAccount } from './secret-access.suite.ts';
import { buildPullSecret, createConfig } from './secret-api-fixtures.ts';

describeOnCluster(
  'the watch on a real API server, for a restricted account',
  (cluster) => {
    let account: string;
    let direct: ClusterConfig;
    let proxy: FaultProxy;
    let recorded: RecordedWatch;
    before(async () => {
      account = await restrictedAccount(cluster());
      direct = createConfig(account);
      proxy = await startFaultProxy(cluster().kubeconfigPath);
    });
    after(async () => {
      await direct.close();
      await proxy.stop();
    });
    const goesOn = async (meanwhile: () => Promise<void>): Promise<void> => {
      const namespace = await cluster().createNamespace('watch');
      await createSecretApi(direct).apply(buildPullSecret(namespace, 'a'), {
        fieldManager: 'one',
        force: false,
      });
      await meanwhile();
      await eventually(`the Secret of ${namespace} is seen`, () => recorded.known.has(namespace), 30_000);
      await eventually('in sync', () => recorded.watch.isInSync(), 30_000);
    };
    beforeEach(async () => {
      await proxy.heal();
      recorded = createRecordedWatch(proxy.kubeconfig(account), { streamSeconds: 2, slackMs: 500 });
      await recorded.watch.start();
      await goesOn(() => Promise.resolve());
    });
    afterEach(() => recorded.stop());
    const watches = (_: string, path: string): boolean => path.includes('watch=true');

    it('accepts quiet streams', async () => {
      const before = proxy.count(watches);
      await eventually('streams end and begin', () => proxy.count(watches) > before + 2);
      assert.deepEqual([recorded.errors.length, recorded.lists.length], [0, 1]);
    });

    it('survives a reset and an aborted connection', async () => {
      proxy.reset();
      await eventually('the reset is noticed', () => recorded.errors.length > 0);
      await proxy.refuseConnections();
      await eventually('the cut is noticed', () => recorded.errors.length > 2);
      await goesOn(() => proxy.heal());
      assert.equal(recorded.lists.length, 1);
    });

    it('survives an API server that fails', async () => {
      proxy.status(500);
      await eventually('the failure is noticed', () =>
        recorded.errors.some(({ code }) => code === 'server-error'),
      );
      await goesOn(() => proxy.heal());
      assert.equal(recorded.lists.length, 1);
    });

    it('survives a connection that is silent', async () => {
      proxy.hang();
      await eventually('the silence is noticed', () =>
        recorded.errors.some(({ code }) => code === 'timeout'),
      );
      await goesOn(() => proxy.heal());
      assert.equal(recorded.lists.length, 1);
    });

    it('survives a restart of the API server, over TLS and without a proxy', async () => {
      await recorded.stop();
      recorded = createRecordedWatch(account);
      await recorded.watch.start();
      await goesOn(async () => {
        await cluster().apiServer?.kill();
        await eventually('the outage is noticed', () => recorded.errors.length > 0);
        await cluster().apiServer?.restart();
      });
    });
  },
  { ownApiServer: true },
);
