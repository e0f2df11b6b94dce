// Tests how long the informer counts as in sync, and how it stops.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import { type FaultProxy, startFaultProxy } from '../doubles/fault-proxy.ts';
import { eventually } from '../support/eventually.ts';
import { createRecordedWatch, type RecordedWatch } from './recorded-watch.ts';
import { createConfig, secretName } from './secret-api-fixtures.ts';

describe('the sync state of the informer', () => {
  let server: ApiStandIn;
  let proxy: FaultProxy;
  let recorded: RecordedWatch;
  let clock: number;
  const now = (): number => clock;
  const watching = async (options: Parameters<typeof createRecordedWatch>[1] = {}): Promise<void> => {
    recorded = createRecordedWatch(proxy.kubeconfig(server.kubeconfigPath), {
      now,
      graceMs: 10_000,
      ...options,
    });
    await recorded.watch.start();
    await eventually('a watch is open', () => server.openWatches > 0);
  };
  beforeEach(async () => {
    clock = 0;
    server = await startApiStandIn();
    proxy = await startFaultProxy(server.kubeconfigPath);
  });
  afterEach(async () => {
    await recorded.stop();
    await proxy.stop();
    await server.stop();
  });

  it('lasts for graceMs after an interruption, and returns after the reconnect', async () => {
    await watching();
    server.seed(`/api/v1/namespaces/one/secrets/${secretName}`, {});
    await eventually('the stream is open', () => recorded.known.size === 1);
    clock = 60_000;
    await proxy.refuseConnections();
    await eventually('the break is noticed', () => recorded.errors.length > 1);
    clock += 9_999;
    assert.equal(recorded.watch.isInSync(), true);
    clock += 1;
    assert.equal(recorded.watch.isInSync(), false);
    await proxy.heal();
    await eventually('in sync again', () => recorded.watch.isInSync());
  });

  it('is lost while streams end immediately, with longer and longer delays', async () => {
    await watching();
    proxy.status(200, (_, path) => path.includes('watch=true'));
    proxy.reset();
    await eventually('several attempts', () => recorded.requestedBackoffs.length > 5);
    assert.deepEqual(recorded.requestedBackoffs.slice(1, 6), [2, 3, 4, 5, 6]);
    clock += 10_000;
    const seen = new Set<boolean>();
    const before = recorded.requestedBackoffs.length;
    await eventually(
      'several more',
      () => seen.add(recorded.watch.isInSync()) && recorded.requestedBackoffs.length > before + 5,
    );
    assert.ok(seen.has(false));
  });

  it('lists again at an interval, which detects a restored etcd', async () => {
    server.seed(`/api/v1/namespaces/lost/secrets/${secretName}`, {});
    for (const name of ['a', 'b', 'c']) {
      server.seed(`/api/v1/namespaces/${name}`, {});
    }
    await watching({ relistMs: 60_000, streamSeconds: 1 });
    assert.deepEqual(recorded.lists, [1]);
    server.faults.rewind(1);
    await server.request('DELETE', `/api/v1/namespaces/lost/secrets/${secretName}`);
    server.seed(`/api/v1/namespaces/kept/secrets/${secretName}`, {});
    clock += 60_000;
    await eventually('a list', () => recorded.lists.length > 1);
    // The handler's state has future resourceVersions, so it is discarded first.
    assert.deepEqual(recorded.lists, [1, 0, 1]);
    assert.deepEqual([...recorded.known.keys()], ['kept']);
    assert.deepEqual(recorded.errors, []);
  });

  it('stops together with its calls in flight and a pending start', async () => {
    await watching();
    await recorded.watch.stop();
    assert.equal(recorded.watch.isInSync(), false);
    proxy.hang();
    const config = createConfig(proxy.kubeconfig(server.kubeconfigPath), 600_000);
    const stuck = createRecordedWatch('', { config });
    const starting = stuck.watch.start();
    await stuck.watch.stop();
    await starting;
    assert.deepEqual([stuck.lists, stuck.errors], [[], []]);
    await stuck.stop();
  });
});
